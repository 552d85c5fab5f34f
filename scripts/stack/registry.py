"""Every service by its name; the one place that makes them."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from scripts.stack.cassandra_node import CassandraCluster, three_nodes
from scripts.stack.kafka_broker import KafkaBroker
from scripts.stack.postgres_server import PostgresServer
from scripts.stack.redis_server import RedisServer
from scripts.stack.service import Service
from scripts.stack.settings import Settings
from scripts.stack.toxiproxy_server import ToxiproxyServer

_MAKERS: Final[Mapping[str, Callable[[str, Settings], Service]]] = {
    "postgres": PostgresServer,
    "redis": RedisServer,
    "redis-queue": partial(RedisServer, for_jobs=True),
    "cassandra": CassandraCluster,
    "cassandra3": three_nodes,
    "kafka": KafkaBroker,
    "toxiproxy": ToxiproxyServer,
    "postgres-tls": partial(PostgresServer, with_tls=True),
    "redis-tls": partial(RedisServer, with_tls=True),
    "cassandra-tls": partial(CassandraCluster, with_tls=True),
}
"""In this order: if two would set the same variable, the first does."""

NAMES: Final = tuple(_MAKERS)
DEFAULT_NAMES: Final = ("postgres", "redis", "redis-queue", "cassandra")
"""What chatd needs to run on the real backends."""


def service(name: str, settings: Settings) -> Service:
    return _MAKERS[name](name, settings)
