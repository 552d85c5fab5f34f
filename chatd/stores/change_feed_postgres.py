"""The change feed on PostgreSQL: rows of the ledger and notices, by the transaction that wrote
them.

The mark is the lowest transaction that was under way: everything below it was over, and seen or
undone. So what commits late, however long it takes, is at the mark or above it.
"""

from typing import Final

from chatd.stores.change_feed import Change, Happened, Parted, Revoked
from chatd.stores.pool_postgres import Postgres, Row

_MARK: Final = "pg_snapshot_xmin(pg_current_snapshot())::text"
# The condition on the kind is that of the index.
SINCE: Final = (
    f"SELECT {_MARK} AS mark, NULL AS conversation_id, 0 AS seq,"
    " NULL AS kind, NULL AS username, NULL AS device_id, NULL AS besides, NULL AS other"
    " UNION ALL SELECT NULL, conversation_id, seq, NULL, NULL, NULL, NULL, NULL FROM ledger"
    " WHERE xid >= $1::text::xid8 AND (kind IN (3, 4, 5, 7) OR (kind = 1 AND seq = 1))"
    " UNION ALL SELECT NULL, NULL, 0, kind, username, device_id, besides, other FROM notice"
    " WHERE xid >= $1::text::xid8"
)


class PostgresChangeFeed:
    """See the port."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def since(self, mark: int | None) -> tuple[int, list[Change]]:
        if mark is None:
            return int(await self._postgres.fetchval(f"SELECT {_MARK}")), []
        rows = await self._postgres.fetch(SINCE, str(mark))
        marks = [row["mark"] for row in rows if row["mark"] is not None]
        changes = [_change(row) for row in rows if row["mark"] is None]
        return int(marks[0]), changes


def _change(row: Row) -> Change:
    _, conversation_id, seq, kind, username, device_id, besides, other = row
    if conversation_id is not None:
        return Happened(conversation_id, seq)
    if kind == "parted":
        return Parted(username, other)
    return Revoked(username, device_id, besides)
