"""The connections to Cassandra: one session a process, errors as BackendErrors.

A statement goes to a replica of what it is about, in the datacenter of the hosts that were named,
and once more to another when that fails. A node that is lost is tried again for ever. Limits:
those of the bridge.
"""

import asyncio
import re
import struct
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from cassandra.metadata import protect_name
from cassandra.policies import HostDistance
from cassandra.query import PreparedStatement, SimpleStatement, Statement

from chatd.errors import BackendError, StartError
from chatd.stores.bridge_cassandra import Bridge, Row
from chatd.stores.open_cassandra import (
    FAILURES,
    REFUSALS,
    Hosts,
    Opened,
    one_line,
    open_session,
)

_SCHEMA_SECONDS: Final = 30.0
"""A change of the schema waits for all nodes."""
_LENGTH: Final = struct.Struct(">H")
_KEYSPACE: Final = re.compile(r"[A-Za-z0-9_]{1,48}")

T = TypeVar("T")


class Cassandra:
    """See the module. Made by `connect`."""

    def __init__(self, opened: Opened) -> None:
        self._cluster, self._session, self._nearest = opened
        self._bridge = Bridge()
        self.keyspace = ""
        """Where all statements look for their tables, once `use` was called."""

    @classmethod
    async def connect(cls, hosts: Hosts) -> "Cassandra":
        """Open a session, on no keyspace.

        Raises:
            StartError: the user, the password or the TLS is refused; asking again will not help.
            BackendError: no node can be reached.
        """
        opening = asyncio.get_running_loop().run_in_executor(None, open_session, hosts)
        try:
            return cls(await asyncio.shield(opening))
        except asyncio.CancelledError:
            # The thread cannot be stopped: what it opens is closed when it is through.
            opening.add_done_callback(_abandon)
            raise

    async def use(self, keyspace: str) -> None:
        """Make a keyspace that of all statements.

        Raises:
            StartError: there is none of this name.
            BackendError
        """
        if not await self.has_keyspace(keyspace):
            raise StartError(f"Cassandra has no keyspace {keyspace}: run `chatd migrate`")
        await self.run(f"USE {quoted(keyspace)}")
        self.keyspace = keyspace

    async def has_keyspace(self, keyspace: str) -> bool:
        """Raises StartError: no keyspace can have this name. Or BackendError."""
        if not _KEYSPACE.fullmatch(keyspace):
            raise StartError(
                f"bad value of CHATD_CASSANDRA_KEYSPACE: {keyspace!r} is not 1 to 48 letters,"
                " digits and underscores"
            )
        query = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = %s"
        return bool(await self.run(query, [keyspace]))

    def table(self, name: str) -> str:
        """A table of the keyspace, as statements that are to be prepared have to name it."""
        return f"{quoted(self.keyspace)}.{name}"

    async def close(self) -> None:
        """Close every connection. What is under way fails."""
        await self._in_thread(self._cluster.shutdown)
        # The driver would try again, and has nobody any more to do it.
        self._bridge.close("the session is closed")

    async def prepare(self, query: str) -> PreparedStatement:
        """Raises BackendError."""
        return await self._in_thread(lambda: self._session.prepare(query))

    def execute(self, statement: Statement) -> "asyncio.Future[list[Row]]":
        """Send a statement; the future has its rows.

        Raises:
            BackendError: too many are under way. The future's: it failed, or was not answered.
        """
        return self.write([statement])

    def write(self, statements: Sequence[Statement]) -> "asyncio.Future[list[Row]]":
        """Send statements, all at once; the future is done when all of them are.

        Raises:
            BackendError: too many are under way. The future's: one failed, or was not answered.
        """
        self._bridge.make_room(len(statements))
        # No timer of the driver's: it would keep each statement until the time is over, also when
        # the answer has come.
        execute = self._session.execute_async
        return self._bridge.wait([execute(statement, timeout=None) for statement in statements])

    async def run(
        self, query: str, parameters: Sequence[Any] = (), *, consistency: int | None = None
    ) -> list[Row]:
        """Run a statement that is not worth to be prepared; one that changes the schema until the
        nodes agree.

        Raises:
            StartError: it is refused: the user may not do it, or it is none.
            BackendError: it failed.
        """
        statement = SimpleStatement(query, consistency_level=consistency)
        self._bridge.make_room(1)
        sent = self._session.execute_async(statement, list(parameters) or None, timeout=None)
        try:
            rows = await self._bridge.wait([sent], _SCHEMA_SECONDS)
        except BackendError as error:
            if isinstance(error.__cause__, REFUSALS):
                raise StartError(f"Cassandra refuses: {one_line(error.__cause__)}") from error
            raise
        if not sent.is_schema_agreed:
            raise BackendError("Cassandra: the nodes do not agree on the schema")
        return rows

    async def agree(self) -> None:
        """Wait until the nodes have the same schema, whoever changes it, and learn it.

        Raises:
            BackendError: they do not agree.
        """
        await self._in_thread(self._cluster.refresh_schema_metadata)

    async def run_on_each(self, query: str) -> dict[str, list[Row]]:
        """The rows of a query as each node of the datacenter has them, by host:port. Nodes that
        are down are left out.

        Raises:
            BackendError: one failed, or none is up.
        """
        hosts = [host for host in self._nodes() if host.is_up]
        if not hosts:
            raise BackendError("Cassandra: no node is up")

        self._bridge.make_room(len(hosts))
        execute = self._session.execute_async
        answers = [self._bridge.wait([execute(query, timeout=None, host=host)]) for host in hosts]
        names = [str(host.endpoint) for host in hosts]
        return dict(zip(names, await asyncio.gather(*answers), strict=True))

    @property
    def datacenter(self) -> str:
        """Of the hosts that were named."""
        return str(self._nearest.local_dc)

    @property
    def nodes(self) -> int:
        """How many the datacenter has, up or not."""
        return len(self._nodes())

    @property
    def has_all_everywhere(self) -> bool:
        """Whether every node has every partition of the keyspace."""
        metadata = self._cluster.metadata
        # All keys have as many.
        return len(metadata.get_replicas(self.keyspace, b"")) == len(metadata.all_hosts())

    def owner(self, key: Sequence[bytes]) -> object:
        """Who has the partition of a key of several columns first: partitions with equal owners
        may go in one batch."""
        packed = b"".join(_LENGTH.pack(len(part)) + part + b"\0" for part in key)
        replicas = self._cluster.metadata.get_replicas(self.keyspace, packed)
        return replicas[0] if replicas else None

    def _nodes(self) -> list[Any]:
        distance = self._nearest.distance
        hosts = self._cluster.metadata.all_hosts()
        return [host for host in hosts if distance(host) == HostDistance.LOCAL]

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """For what the driver does only while the caller waits."""
        try:
            return await asyncio.get_running_loop().run_in_executor(None, work)
        except FAILURES as error:
            raise BackendError(f"Cassandra: {one_line(error)}") from error


def quoted(keyspace: str) -> str:
    """A keyspace as CQL names it."""
    return str(protect_name(keyspace))


def _abandon(opening: "asyncio.Future[Opened]") -> None:
    if opening.exception() is None:
        close = opening.result().cluster.shutdown
        threading.Thread(target=close, name="cassandra-close").start()
