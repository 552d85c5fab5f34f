"""Real backends of a test's own: a database, a keyspace, and databases of Redis.

    with Backends() as backends, Node(folder, backends=backends) as node: ...

Any number of nodes stand on the same. The services run on; what was made in them is dropped.
"""

import uuid
from types import TracebackType
from typing import IO, Final, Self
from urllib.parse import urlsplit

import asyncpg
from redis import Redis

from chatd.stores.open_cassandra import Hosts
from chatd.stores.session_cassandra import Cassandra
from tests.support import loop
from tests.support.node import command
from tests.support.redis_database import take_database
from tests.support.services import service

SECRET: Final = "a secret of the tests, 32 bytes or more"


class Backends:
    """For `with`: made and migrated on entering, dropped on leaving."""

    def __init__(self, *, migrated: bool = True) -> None:
        self._name = f"test_{uuid.uuid4().hex[:12]}"
        self._is_to_be_migrated = migrated
        self._lock: IO[bytes] | None = None
        self._settings: dict[str, str] = {}

    @property
    def settings(self) -> dict[str, str]:
        """For a node, by name, without CHATD_."""
        return dict(self._settings)

    @property
    def database_url(self) -> str:
        return self._settings["database_url"]

    @property
    def keyspace(self) -> str:
        return self._settings["cassandra_keyspace"]

    def __enter__(self) -> Self:
        server = service("postgres")["CHATD_DATABASE_URL"]
        hosts = service("cassandra")["CHATD_CASSANDRA_HOSTS"]
        redis = service("redis")["CHATD_REDIS_URL"]
        queue = service("redis-queue")["CHATD_QUEUE_REDIS_URL"]
        number, self._lock = take_database()
        self._settings = {
            "database_url": _with_path(server, self._name),
            "cassandra_hosts": hosts,
            "cassandra_keyspace": self._name,
            "redis_url": _with_path(redis, str(number)),
            "queue_redis_url": _with_path(queue, str(number)),
            "jwt_secret": SECRET,
        }
        self.flush_redis()
        loop.run(_on_postgres(server, f"CREATE DATABASE {self._name}"))
        if self._is_to_be_migrated:
            self.migrate()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        server = service("postgres")["CHATD_DATABASE_URL"]
        loop.run(_on_postgres(server, f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)"))
        loop.run(self._drop_keyspace())
        self.flush_redis()
        if self._lock is not None:
            self._lock.close()

    def migrate(self) -> list[str]:
        """What `chatd migrate` says; it must succeed."""
        done = command(["migrate"], self.settings, seconds=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    async def run(self, statement: str) -> None:
        """Run SQL in the database, behind the back of chatd."""
        await _on_postgres(self.database_url, statement)

    def flush_redis(self) -> None:
        """Everything in both Redis is gone, as after a restart without a file."""
        for name in ("redis_url", "queue_redis_url"):
            with Redis.from_url(self._settings[name]) as redis:
                redis.flushdb()

    async def _drop_keyspace(self) -> None:
        cassandra = await Cassandra.connect(Hosts([self._settings["cassandra_hosts"]]))
        await cassandra.run(f"DROP KEYSPACE IF EXISTS {self._name}")
        await cassandra.close()


async def _on_postgres(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _with_path(url: str, path: str) -> str:
    return urlsplit(url)._replace(path=f"/{path}").geturl()
