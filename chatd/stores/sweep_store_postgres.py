"""The SweepStore on PostgreSQL."""

from typing import Final

from chatd.stores.pool_postgres import Postgres
from chatd.stores.sweep_store import Lacking, LackingPage

_KEY: Final = "offline_swept_until"


class PostgresSweepStore:
    """See the port."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def lacking(self, since_ms: int, until_ms: int, *, after: str, limit: int) -> LackingPage:
        rows = await self._postgres.fetch(
            "SELECT h.conversation_id, h.last, l.first FROM"
            " (SELECT conversation_id, last, at FROM head WHERE conversation_id > $1"
            " ORDER BY conversation_id LIMIT $2) AS h LEFT JOIN LATERAL"
            " (SELECT min(m.delivered) + 1 AS first FROM member AS m LEFT JOIN mailbox AS b"
            " USING (conversation_id, username) WHERE m.conversation_id = h.conversation_id"
            " AND m.delivered < h.last AND (b.last IS NULL OR b.last < h.last)) AS l"
            " ON h.at >= $3 AND h.at < $4 ORDER BY h.conversation_id",
            after,
            limit,
            since_ms,
            until_ms,
        )
        found = [Lacking(row[0], row[2], row[1]) for row in rows if row[2] is not None]
        return LackingPage(found, rows[-1][0] if len(rows) == limit else None)

    async def swept_until(self) -> int:
        value = await self._postgres.fetchval("SELECT value FROM meta WHERE key = $1", _KEY)
        return 0 if value is None else int(value)

    async def set_swept_until(self, at_ms: int) -> None:
        await self._postgres.execute(
            "INSERT INTO meta (key, value) VALUES ($1, $2)"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            _KEY,
            str(at_ms),
        )
