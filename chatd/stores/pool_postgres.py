"""The connections to PostgreSQL: one pool a process, prepared statements, errors as BackendErrors.

Limits: `CONNECTIONS` open; who finds all of them busy waits at most `WAIT_SECONDS`; a statement
takes at most `STATEMENT_SECONDS`. Beyond either: BackendError.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from chatd.errors import BackendError

CONNECTIONS: Final = 16
WAIT_SECONDS: Final = 5.0
STATEMENT_SECONDS: Final = 10.0
_FAILURES: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)

Row = asyncpg.Record
Connection = PoolConnectionProxy


class Postgres:
    """See the module. Made by `connect`."""

    def __init__(self, pool: "asyncpg.Pool[Row]") -> None:
        self._pool = pool

    @classmethod
    async def connect(cls, url: str) -> "Postgres":
        """Open the pool.

        Raises:
            BackendError: the server cannot be reached, or refuses the user or the password.
        """
        try:
            pool = await asyncpg.create_pool(
                url,
                min_size=2,
                max_size=CONNECTIONS,
                command_timeout=STATEMENT_SECONDS,
                server_settings={"application_name": "chatd", "jit": "off"},
            )
        except _FAILURES as error:
            raise BackendError(f"PostgreSQL: {error}") from error
        return cls(pool)

    async def close(self) -> None:
        """Close every connection, once it is free."""
        try:
            await self._pool.close()
        except _FAILURES:
            self._pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for one piece of work; what it raises comes out as BackendError."""
        try:
            async with self._pool.acquire(timeout=WAIT_SECONDS) as connection:
                yield connection
        except _FAILURES as error:
            raise BackendError(f"PostgreSQL: {error or type(error).__name__}") from error

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
