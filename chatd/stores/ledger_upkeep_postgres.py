"""Once an hour: partitions of the ledger are made ahead, and go when they are old and everything in
them is in the message store. With them go old notices and processes of which nothing is left.

Every process does it; who comes while another is at it leaves it to that one.
"""

import asyncio
from typing import Final

from loguru import logger

from chatd.errors import BackendError
from chatd.stores.migrate_postgres import DAYS_AHEAD
from chatd.stores.pool_postgres import Connection, Postgres
from chatd.tasks import TaskOwner

DAYS_KEPT: Final = 3
_LOCK: Final = "SELECT pg_try_advisory_xact_lock(hashtext('chatd upkeep'))"
_LOCK_TIMEOUT: Final = "SELECT set_config('lock_timeout', $1, true)"
_TIDY: Final = (
    # A node that cannot read the feed for so long has no connection left to close.
    "DELETE FROM notice WHERE at < now() - interval '1 day'",
    "DELETE FROM writer WHERE seen_at < now() - interval '1 day'"
    " AND NOT EXISTS (SELECT 1 FROM ledger WHERE ledger.writer = writer.writer)",
)


class LedgerUpkeep:
    def __init__(
        self, postgres: Postgres, *, pause_seconds: float = 3600.0, lock_seconds: float = 1.0
    ) -> None:
        """Who appends waits for at most `lock_seconds` behind a partition that is to be dropped
        and is still in use."""
        self._postgres = postgres
        self._pause_seconds = pause_seconds
        self._lock_timeout = f"{lock_seconds * 1000:g}ms"
        self._tasks = TaskOwner()

    async def start(self) -> None:
        """Begin; the first time is now."""
        self._tasks.start(self._rounds(), "ledger upkeep")

    async def stop(self) -> None:
        await self._tasks.cancel()

    async def round(self) -> None:
        """Do what is due, unless another process is at it.

        Raises:
            BackendError: some of it may be done.
        """
        async with self._postgres.transaction() as connection:
            if not await self._has_turn(connection):
                return
            await connection.execute("SELECT make_partitions($1)", DAYS_AHEAD)
            for statement in _TIDY:
                await connection.execute(statement)
        async with self._postgres.transaction() as connection:
            if not await self._has_turn(connection):
                return
            await connection.execute(_LOCK_TIMEOUT, self._lock_timeout)
            for row in await connection.fetch("SELECT drop_partitions($1)", DAYS_KEPT):
                logger.info("dropped the partition {}, which is stored", row[0])

    async def _rounds(self) -> None:
        while True:
            try:
                await self.round()
            except BackendError as error:
                logger.warning("the upkeep of the ledger failed, and will be repeated: {}", error)
            except Exception:
                logger.exception("a bug in the upkeep of the ledger")
            await asyncio.sleep(self._pause_seconds)

    @staticmethod
    async def _has_turn(connection: Connection) -> bool:
        return bool(await connection.fetchval(_LOCK))
