"""The unstored rows of the ledger on PostgreSQL."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Final

from chatd.stores.message_store import Put
from chatd.stores.pool_postgres import Postgres, session_name
from chatd.stores.rows import event_of_row
from chatd.stores.rows_postgres import event_columns
from chatd.stores.unstored_rows import Rest

_RECORD: Final = (
    "INSERT INTO writer AS w (writer, stored) VALUES ($1, $2) ON CONFLICT (writer) DO UPDATE"
    " SET stored = greatest(w.stored, excluded.stored), seen_at = now()"
)
_ROWS: Final = (
    f"SELECT batch, target, emoji, coalesce(is_removal, false), {event_columns('ledger')}"
    " FROM ledger WHERE writer = $1 AND batch > $2 AND batch <= $3 AND xid >= $4::text::xid8"
    " ORDER BY batch FETCH FIRST $5 ROWS WITH TIES"
)
_PUT_COLUMNS: Final = 4
_UNDER_WAY: Final = (
    "SELECT pid FROM pg_stat_activity WHERE pid = ANY($1)"
    " AND application_name = current_setting('application_name')"
)
# Which sessions there are is looked up first: what they committed is then in the snapshot of the
# statements that follow.
_OVER: Final = (
    "SELECT writer FROM writer WHERE seen_at < now() - make_interval(secs => $1)"
    " AND NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE application_name = $2 || writer)"
)
_LEFT: Final = (
    "SELECT found.writer, stored, batch, seen_at < now() - make_interval(secs => $2)"
    " FROM ledger_writers('ledger') AS found LEFT JOIN writer USING (writer)"
    " WHERE found.writer <> $1 AND batch > coalesce(stored, 0)"
)
_ADD_UNSEEN: Final = "INSERT INTO writer (writer, stored) VALUES ($1, 0) ON CONFLICT DO NOTHING"
_TAKE_OVER: Final = "UPDATE writer SET stored = greatest(stored, $2) WHERE writer = $1"
_LOCK: Final = "SELECT pg_try_advisory_lock(hashtext('chatd takeover'))"
_UNLOCK: Final = "SELECT pg_advisory_unlock(hashtext('chatd takeover'))"
_NO_END: Final = 2**62


class PostgresUnstoredRows:
    """See the port."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def record(self, writer: str, stored: int) -> None:
        await self._postgres.execute(_RECORD, writer, stored)

    async def rows(
        self, writer: str, *, after: int, up_to: int | None, limit: int, since: int | None = None
    ) -> list[tuple[int, Put]]:
        rows = await self._postgres.fetch(
            _ROWS, writer, after, _NO_END if up_to is None else up_to, str(since or 0), limit
        )
        return [
            (row[0], Put(event_of_row(row[_PUT_COLUMNS:]), *row[1:_PUT_COLUMNS])) for row in rows
        ]

    async def mark(self) -> int:
        return int(
            await self._postgres.fetchval("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")
        )

    async def under_way(self, sessions: Collection[int]) -> set[int]:
        return {row[0] for row in await self._postgres.fetch(_UNDER_WAY, list(sessions))}

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[bool]:
        async with self._postgres.connection() as connection:
            is_ours = await connection.fetchval(_LOCK)
            try:
                yield is_ours
            finally:
                if is_ours:
                    await connection.execute(_UNLOCK)

    async def left_by_others(
        self, writer: str, *, silent_seconds: float, over_seconds: float
    ) -> list[Rest]:
        async with self._postgres.connection() as connection:
            over = {row[0] for row in await connection.fetch(_OVER, over_seconds, session_name(""))}
            rows = await connection.fetch(_LEFT, writer, silent_seconds)
            # Who ended before its first sign of life is silent from now on.
            unseen = [(row[0],) for row in rows if row[1] is None]
            if unseen:
                await connection.executemany(_ADD_UNSEEN, unseen)
        return [Rest(row[0], row[1], row[2], row[0] in over) for row in rows if row[3]]

    async def take_over(self, writer: str, stored: int) -> None:
        await self._postgres.execute(_TAKE_OVER, writer, stored)
