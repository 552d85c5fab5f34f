"""Where the services live and listen: the defaults, and what the user may change.

The names of the environment begin with SERVICES_: chatd refuses names of CHATD_ that it does not
know.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HOST: Final = "127.0.0.1"
CLUSTER_HOSTS: Final = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
"""One address for each node: every node of a Cassandra cluster has the same ports."""
CHECKOUT: Final = Path(__file__).resolve().parents[2]
PREFIX: Final = "SERVICES_"

PORTS: Final[Mapping[str, int]] = {
    "postgres": 25432,
    "postgres-tls": 25433,
    "redis": 26379,
    "redis-queue": 26380,
    "redis-tls": 26381,
    "cassandra": 29042,
    "cassandra-storage": 27000,
    "cassandra-tls": 29043,
    "cassandra-tls-storage": 27001,
    "cassandra3": 29042,
    "cassandra3-storage": 27000,
    "kafka": 29092,
    "kafka-controller": 29093,
    "toxiproxy": 28474,
}
"""Beside the standard ports, and below those that the system gives to clients."""


@dataclass(frozen=True)
class Settings:
    folder: Path
    """Absolute; of each service a folder with its data, record and log."""
    cache: Path
    """Absolute; what was downloaded, kept for all checkouts of the user."""
    ports: Mapping[str, int]
    """By the names of `PORTS`."""
    may_install: bool = True
    """Whether Debian packages may be installed when root runs this."""


def port_variable(name: str) -> str:
    """The variable that sets a port."""
    return f"{PREFIX}{name.upper().replace('-', '_')}_PORT"
