"""The connections to PostgreSQL: one pool a process, prepared statements, errors as BackendErrors.

Limits: `CONNECTIONS` open; who finds all of them busy waits at most `WAIT_SECONDS`; the server ends
a statement after `STATEMENT_SECONDS`, and a transaction that waits as long for the next one. Beyond
any: BackendError.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from chatd.errors import BackendError

CONNECTIONS: Final = 16
WAIT_SECONDS: Final = 5.0
STATEMENT_SECONDS: Final = 10.0
_REPLY_SECONDS: Final = STATEMENT_SECONDS + 2.0
"""What the server ends is answered: only a server that is away keeps one waiting longer."""
_QUERIES_A_CONNECTION: Final = 10**9
_FAILURES: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # A connection that is used between the server's last word and the end of the stream.
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
_SETTINGS: Final = {
    "jit": "off",
    # Statements over the partitions of the ledger would be planned again each time, which takes
    # longer than to execute them. A plan that is kept must be good for long: one that is made while
    # a table is empty, as that of tomorrow is, would read all of it. So everything is looked up by
    # an index, row by row.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "statement_timeout": f"{STATEMENT_SECONDS:g}s",
    "idle_in_transaction_session_timeout": f"{STATEMENT_SECONDS:g}s",
    # A session whose process vanished with its machine ends within a minute.
    "tcp_keepalives_idle": "20",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "4",
}

Row = asyncpg.Record
Connection = PoolConnectionProxy


def session_name(writer: str) -> str:
    """What the sessions of a process that appends are called in `pg_stat_activity`."""
    return f"chatd {writer}"


class Postgres:
    """See the module. Made by `connect`.

    What a piece of work changes in its session, it undoes: connections are not reset between uses.
    """

    def __init__(self, pool: "asyncpg.Pool[Row]") -> None:
        self._pool = pool
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._kept: list[Connection] = []
        """Free ones that did not go back to the pool: giving and taking there costs as much as a
        statement."""
        self._is_closing = False
        self._is_silent = False
        """The last that was heard of the server is that it did not answer in time."""
        self._is_probing = False

    @classmethod
    async def connect(cls, url: str, *, writer: str | None = None) -> "Postgres":
        """Open the pool. `writer` is the id under which the process appends, if it does.

        Raises:
            BackendError: the server cannot be reached, or refuses the user or the password.
        """
        name = "chatd" if writer is None else session_name(writer)
        try:
            pool = await asyncpg.create_pool(
                url,
                min_size=2,
                max_size=CONNECTIONS,
                max_queries=_QUERIES_A_CONNECTION,
                command_timeout=_REPLY_SECONDS,
                server_settings={"application_name": name, **_SETTINGS},
            )
        except _FAILURES as error:
            raise BackendError(f"PostgreSQL: {error}") from error
        return cls(pool)

    async def close(self) -> None:
        """Close every connection, once it is free."""
        self._is_closing = True
        try:
            while self._kept:
                await self._pool.release(self._kept.pop())
            async with asyncio.timeout(_REPLY_SECONDS):
                await self._pool.close()
        except _FAILURES:
            self._pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for one piece of work; what it raises comes out as BackendError. While the
        server does not answer one piece at a time finds out whether it does again, and the others
        fail at once."""
        if self._is_silent and self._is_probing:
            raise BackendError("PostgreSQL does not answer")
        is_probe = self._is_probing = self._is_silent
        try:
            await self._wait_for_turn()
            try:
                async with self._own_connection() as connection:
                    yield connection
            finally:
                self._turns.release()
        except _FAILURES as error:
            raise BackendError(f"PostgreSQL: {str(error) or type(error).__name__}") from error
        finally:
            if is_probe:
                self._is_probing = False

    @asynccontextmanager
    async def _own_connection(self) -> AsyncIterator[Connection]:
        try:
            connection = self._free() or await self._pool.acquire(timeout=WAIT_SECONDS)
        except _FAILURES as error:
            self._is_silent = isinstance(error, TimeoutError)
            raise
        try:
            yield connection
        except BaseException as error:
            if isinstance(error, TimeoutError):
                self._is_silent = True
                with suppress(asyncpg.InterfaceError):
                    # To put it in order would wait for the server once more.
                    connection.terminate()
            elif isinstance(error, Exception):
                self._is_silent = False
            # It may be in the middle of anything: the pool looks after that.
            await self._release(connection)
            raise
        self._is_silent = False
        if self._is_closing:
            await self._release(connection)
        else:
            self._kept.append(connection)

    async def _wait_for_turn(self) -> None:
        if self._turns.locked():
            async with asyncio.timeout(WAIT_SECONDS):
                await self._turns.acquire()
        else:
            await self._turns.acquire()

    async def _release(self, connection: Connection) -> None:
        with suppress(*_FAILURES):
            # What cannot be reset is closed.
            await self._pool.release(connection)

    def _free(self) -> Connection | None:
        while self._kept:
            connection = self._kept.pop()
            try:
                if not connection.is_closed():
                    return connection
            except asyncpg.InterfaceError:
                # It was lost, and the pool knows.
                continue
        return None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """As `connection`, in one transaction."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """As `connection`; everything that is read is of one moment."""
        async with (
            self.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection

    async def fetch(self, query: str, *arguments: Any) -> list[Row]:
        async with self.connection() as connection:
            return await connection.fetch(query, *arguments)

    async def fetchrow(self, query: str, *arguments: Any) -> Row | None:
        async with self.connection() as connection:
            return await connection.fetchrow(query, *arguments)

    async def fetchval(self, query: str, *arguments: Any) -> Any:
        async with self.connection() as connection:
            return await connection.fetchval(query, *arguments)

    async def execute(self, query: str, *arguments: Any) -> int:
        """Run a statement; how many rows it changed."""
        async with self.connection() as connection:
            status = await connection.execute(query, *arguments)
        count = str(status).rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def executemany(self, query: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Run a statement for each row, all or none."""
        async with self.connection() as connection:
            await connection.executemany(query, rows)
