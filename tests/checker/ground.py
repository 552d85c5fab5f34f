"""What the checker plays on: real backends, nodes on them, and the trouble that is chosen."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from tests.checker.history import POSTGRES
from tests.checker.killing import Killing
from tests.checker.losing import Losing, Together, Way
from tests.checker.plan import Options
from tests.checker.play import NoTrouble, Trouble
from tests.support.backends import Backends
from tests.support.lossy_bus import LossyBus
from tests.support.node import ROOT, Node, command
from tests.support.nodes_together import nodes_together
from tests.support.own_postgres import OwnPostgres
from tests.support.proxy import Proxy

PATIENCE: Final = 40.0
"""Seconds that an answer may take while a service is away."""
REST: Final = 40.0
"""Seconds that everything owed may take: what the bus has lost is found within about ten."""


class Chosen(StrEnum):
    """The kinds of trouble."""

    NODES = "nodes"
    """Nodes are killed with -9."""
    BUS = "bus"
    """One publish in a hundred is lost, the others are mixed up."""
    REDIS = "redis"
    """It is cut off, stalled and emptied."""
    CASSANDRA = "cassandra"
    """It is cut off and stalled."""
    POSTGRES = "postgres"
    """It is killed with -9."""
    REPLIES = "replies"
    """What PostgreSQL answers is lost, with the connections; it is cut off and stalled."""


MINOR: Final[dict[Chosen, tuple[str, ...]]] = {
    Chosen.CASSANDRA: ("the message store does not take events",),
    Chosen.POSTGRES: ("appending fails, senders must repeat",),
    Chosen.REPLIES: ("appending fails, senders must repeat",),
}
"""Errors that a node may log for the trouble."""


class Ground(NamedTuple):
    nodes: list[Node]
    chosen: Sequence[Chosen]
    bus: LossyBus | None
    losses: dict[str, dict[str, Way]]
    """By service."""

    def trouble(self, options: Options, seed: str) -> Trouble:
        """That of a round."""
        troubles: list[Trouble] = [
            Losing(service, ways, self.nodes, options, seed)
            for service, ways in self.losses.items()
        ]
        if Chosen.NODES in self.chosen:
            troubles.append(Killing(self.nodes[0], options, seed, others=self.nodes[1:]))
        return Together(troubles) if troubles else NoTrouble()

    @property
    def complaints(self) -> list[str]:
        """Errors in the logs that the trouble does not explain."""
        explained = [words for one in self.chosen for words in MINOR.get(one, ())]
        return [
            line
            for node in self.nodes
            for line in node.complaints
            if not any(words in line for words in explained)
        ]


@contextmanager
def on_backends(
    folder: Path,
    nodes: int,
    chosen: Sequence[Chosen],
    backends: Backends | None = None,
    code: Path = ROOT,
) -> Iterator[Ground]:
    """So many nodes on these backends, ready for this trouble; or on backends of their own, as
    always when PostgreSQL is to be killed. What runs is in the folder `code`."""
    with ExitStack() as stack:
        is_own = Chosen.POSTGRES in chosen
        if backends is None or is_own:
            backends = stack.enter_context(Backends(migrated=not is_own))
        settings = backends.settings
        losses: dict[str, dict[str, Way]] = {}
        bus: LossyBus | None = None
        if is_own:
            own = stack.enter_context(OwnPostgres())
            settings["database_url"] = own.url
            done = command(["migrate"], settings, seconds=60)
            assert done.returncode == 0, done.stderr
            losses.setdefault(POSTGRES, {})["killed"] = own.kill, own.start
        if Chosen.REPLIES in chosen:
            database = stack.enter_context(Proxy.before(settings["database_url"]))
            settings["database_url"] = database.url
            losses.setdefault(POSTGRES, {}).update(
                unheard=(database.stall_replies, partial(_renew, database)),
                cut=(database.cut, database.heal),
                stalled=(database.stall, database.heal),
            )
        if Chosen.CASSANDRA in chosen:
            host, _, port = settings["cassandra_hosts"].rpartition(":")
            cassandra = stack.enter_context(Proxy(host, int(port)))
            settings["cassandra_hosts"] = f"127.0.0.1:{cassandra.port}"
            losses["cassandra"] = {
                "cut": (cassandra.cut, cassandra.heal),
                "stalled": (cassandra.stall, cassandra.heal),
            }
        if Chosen.BUS in chosen:
            bus = stack.enter_context(LossyBus.before(settings["redis_url"]))
            settings["redis_url"] = bus.url
        if Chosen.REDIS in chosen:
            redis = bus or stack.enter_context(Proxy.before(settings["redis_url"]))
            settings["redis_url"] = redis.url
            losses["redis"] = {
                "cut": (redis.cut, redis.heal),
                "stalled": (redis.stall, redis.heal),
                "emptied": (backends.flush_redis, lambda: None),
            }
        started = stack.enter_context(nodes_together(folder, backends, [settings] * nodes, code))
        yield Ground(started, chosen, bus, losses)


def _renew(proxy: Proxy) -> None:
    proxy.reset()
    proxy.heal()
