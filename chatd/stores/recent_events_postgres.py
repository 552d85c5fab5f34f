"""The recent events on PostgreSQL: the partitions of the ledger that are left.

Each answer is one statement, which sees one moment; only a page that names others takes two.
"""

from collections.abc import Sequence
from typing import Final

from chatd.stores.ledger import LAST_MESSAGE_WITHIN, Wanted
from chatd.stores.pool_postgres import Postgres, Row
from chatd.stores.recent_events import (
    Fate,
    RecentPage,
    RecentPosts,
    RecentRange,
    RecentTail,
)
from chatd.stores.rows import event_of_row
from chatd.stores.rows_postgres import (
    FATE_COLUMNS,
    event_columns,
    fate_joins,
    fate_of_row,
    fated_of_row,
    lacks,
)

_READ: Final = (
    f"SELECT head.last, {event_columns('found')} FROM head LEFT JOIN LATERAL"
    " (SELECT * FROM ledger WHERE conversation_id = $1 AND seq > $2 AND seq < $3"
    " ORDER BY seq LIMIT $4) AS found ON true WHERE head.conversation_id = $1 ORDER BY found.seq"
)
_MESSAGES: Final = (
    "SELECT * FROM ledger WHERE conversation_id = $1 AND seq > $2 AND seq < $3 AND kind IN (1, 2)"
)
_IS_FULL: Final = "(SELECT count(*) FROM found) >= $4"


def _page(order: str, lowest: str, highest: str) -> str:
    return (
        f"WITH found AS MATERIALIZED ({_MESSAGES} ORDER BY seq {order} LIMIT $4),"
        " top AS MATERIALIZED (SELECT coalesce((SELECT last FROM head"
        " WHERE conversation_id = $1), 0) AS last),"
        f" span AS MATERIALIZED (SELECT last, {lowest} AS lowest, {highest} AS highest FROM top),"
        f" whole AS MATERIALIZED (SELECT last, {lacks('$1', 'lowest', 'highest')} AS lacks"
        " FROM span)"
        f" SELECT last, lacks, {event_columns('found')}, {FATE_COLUMNS}"
        f" FROM whole LEFT JOIN found ON true{fate_joins('$1', 'found.seq')} ORDER BY found.seq"
    )


_OLDEST_PAGE: Final = _page(
    "ASC",
    "$2 + 1",
    f"CASE WHEN {_IS_FULL} THEN (SELECT max(seq) FROM found) ELSE least($3 - 1, last) END",
)
_NEWEST_PAGE: Final = _page(
    "DESC",
    f"CASE WHEN {_IS_FULL} THEN (SELECT min(seq) FROM found) ELSE $2 + 1 END",
    "least($3 - 1, last)",
)
_FATES: Final = (
    f"SELECT {FATE_COLUMNS} FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY"
    f" AS place(id, seq, n){fate_joins('place.id', 'place.seq')} ORDER BY place.n"
)
_POSTS: Final = (
    f"WITH found AS MATERIALIZED ({_MESSAGES} ORDER BY seq DESC LIMIT $4),"
    " span AS MATERIALIZED (SELECT"
    f" CASE WHEN {_IS_FULL} THEN (SELECT min(seq) FROM found) ELSE $2 + 1 END AS lowest,"
    " least($3 - 1, (SELECT last FROM head WHERE conversation_id = $1)) AS highest),"
    f" whole AS MATERIALIZED (SELECT {lacks('$1', 'lowest', 'highest')} AS lacks FROM span)"
    " SELECT lacks, seq, sender FROM whole LEFT JOIN found ON true ORDER BY seq DESC"
)
_TAILS: Final = (
    "SELECT counted.unread, CASE WHEN counted.unread > wanted.unread_cap THEN 0 ELSE"
    f" {lacks('wanted.id', 'greatest(wanted.read, wanted.floor) + 1', 'wanted.head')} END,"
    f" {lacks('wanted.id', 'coalesce(newest.seq, wanted.bottom + 1)', 'wanted.head')},"
    f" {event_columns('newest')}, {FATE_COLUMNS}"
    " FROM (SELECT *, greatest(floor, head - $7::bigint) AS bottom FROM unnest($2::text[],"
    " $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) WITH ORDINALITY"
    " AS one(id, head, floor, read, unread_cap, n)) AS wanted"
    " CROSS JOIN LATERAL (SELECT count(*) AS unread FROM (SELECT 1 FROM ledger AS posted"
    " WHERE conversation_id = wanted.id AND seq > greatest(wanted.read, wanted.floor)"
    " AND seq <= wanted.head AND sender <> $1 AND kind IN (1, 2)"
    " AND NOT EXISTS (SELECT 1 FROM message_state AS changed"
    " WHERE changed.conversation_id = posted.conversation_id AND changed.seq = posted.seq"
    " AND deleted_seq <= wanted.head) LIMIT wanted.unread_cap + 1) AS unread) AS counted"
    " LEFT JOIN LATERAL (SELECT * FROM ledger WHERE conversation_id = wanted.id"
    " AND seq > wanted.bottom AND seq <= wanted.head AND kind IN (1, 2)"
    " ORDER BY seq DESC LIMIT 1) AS newest ON true"
    f"{fate_joins('wanted.id', 'newest.seq')} ORDER BY wanted.n"
)
_DELETED: Final = (
    "SELECT seq, deleted_seq FROM message_state WHERE conversation_id = $1"
    " AND (seq > $2 AND seq < $3 OR seq = ANY($4::bigint[])) AND deleted_seq IS NOT NULL"
)
_WHEREABOUTS: Final = (
    "SELECT CASE WHEN found.at IS NOT NULL THEN found.at"
    " WHEN place.seq > coalesce(head.last, 0) THEN 0 END"
    " FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS place(id, seq, n)"
    " LEFT JOIN head ON head.conversation_id = place.id"
    " LEFT JOIN ledger AS found ON found.conversation_id = place.id AND found.seq = place.seq"
    " ORDER BY place.n"
)


class PostgresRecentEvents:
    """See the port."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def read(
        self, conversation_id: str, *, after: int, before: int, limit: int
    ) -> RecentRange:
        rows = await self._postgres.fetch(_READ, conversation_id, after, before, limit)
        events = [event_of_row(row[1:]) for row in rows if row[1] is not None]
        return RecentRange(events, rows[0][0] if rows else 0)

    async def page(
        self,
        conversation_id: str,
        *,
        after: int,
        before: int,
        limit: int,
        newest: bool,
        fates_of: Sequence[int] = (),
    ) -> RecentPage:
        sql = _NEWEST_PAGE if newest else _OLDEST_PAGE
        arguments = (conversation_id, after, before, limit)
        fates: list[Fate] = []
        if fates_of:
            async with self._postgres.snapshot() as connection:
                rows = await connection.fetch(sql, *arguments)
                places = [(conversation_id, seq) for seq in fates_of]
                fates = _fates(await connection.fetch(_FATES, *zip(*places, strict=True)))
        else:
            rows = await self._postgres.fetch(sql, *arguments)
        found = [fated_of_row(row[2:]) for row in rows]
        return RecentPage([one for one in found if one is not None], rows[0][0], rows[0][1], fates)

    async def posts(
        self, conversation_id: str, *, after: int, up_to: int, limit: int
    ) -> RecentPosts:
        rows = await self._postgres.fetch(_POSTS, conversation_id, after, up_to + 1, limit)
        return RecentPosts([(row[1], row[2]) for row in rows if row[1] is not None], rows[0][0])

    async def tails(self, username: str, wanted: Sequence[Wanted]) -> list[RecentTail]:
        if not wanted:
            return []
        columns = zip(*wanted, strict=True)
        rows = await self._postgres.fetch(_TAILS, username, *columns, LAST_MESSAGE_WITHIN)
        return [RecentTail(row[0], row[1], fated_of_row(row[3:]), row[2]) for row in rows]

    async def fates(self, places: Sequence[tuple[str, int]]) -> list[Fate]:
        if not places:
            return []
        return _fates(await self._postgres.fetch(_FATES, *zip(*places, strict=True)))

    async def deleted(
        self, conversation_id: str, *, after: int, before: int, also: Sequence[int] = ()
    ) -> dict[int, int]:
        rows = await self._postgres.fetch(_DELETED, conversation_id, after, before, also)
        return {row[0]: row[1] for row in rows}

    async def whereabouts(self, places: Sequence[tuple[str, int]]) -> list[int | None]:
        if not places:
            return []
        rows = await self._postgres.fetch(_WHEREABOUTS, *zip(*places, strict=True))
        return [row[0] for row in rows]


def _fates(rows: list[Row]) -> list[Fate]:
    return [fate_of_row(row[:]) for row in rows]
