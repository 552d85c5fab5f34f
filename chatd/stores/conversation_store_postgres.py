"""The ConversationStore on PostgreSQL."""

from collections.abc import Collection, Sequence
from typing import Final

from chatd import ids
from chatd.stores.conversation_store import (
    ConversationKind,
    Cursor,
    Member,
    Membership,
    Move,
    Moved,
    Peer,
    Summary,
)
from chatd.stores.pool_postgres import Postgres, Row
from chatd.stores.rows import membership_of_row
from protocol.errors import ErrorCode
from protocol.model import Role

_MEMBERSHIP: Final = (
    "SELECT m.conversation_id, c.kind, m.role, c.history, m.joined_seq, m.delivered, m.read{more}"
    " FROM member AS m JOIN conversation AS c USING (conversation_id){joins}"
)
_HEAD: Final = ", coalesce(head.last, 0)"
_OF_HEAD: Final = " LEFT JOIN head USING (conversation_id)"
_SUMMARY: Final = (
    _MEMBERSHIP.format(
        more=", name, member_count, head.last, topic, avatar_url, is_open, head.at,"
        " (SELECT peer.username FROM member AS peer WHERE c.kind = 'direct'"
        " AND peer.conversation_id = m.conversation_id AND peer.username <> m.username) AS peer",
        joins=" JOIN head USING (conversation_id)",
    )
    + " WHERE m.username = $1"
)


class PostgresConversationStore:
    """See the port."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def memberships(self, username: str) -> list[Membership]:
        sql = _MEMBERSHIP.format(more="", joins="") + " WHERE m.username = $1"
        return [membership_of_row(row) for row in await self._postgres.fetch(sql, username)]

    async def membership(self, conversation_id: str, username: str) -> Membership | None:
        sql = (
            _MEMBERSHIP.format(more=_HEAD, joins=_OF_HEAD)
            + " WHERE m.conversation_id = $1 AND m.username = $2"
        )
        row = await self._postgres.fetchrow(sql, conversation_id, username)
        return None if row is None else membership_of_row(row)._replace(head=row[7])

    async def peer(self, conversation_id: str, username: str) -> Peer | None:
        row = await self._postgres.fetchrow(
            "SELECT theirs.username, theirs.delivered, theirs.read FROM conversation AS c"
            " JOIN member AS mine USING (conversation_id)"
            " JOIN member AS theirs USING (conversation_id)"
            " WHERE conversation_id = $1 AND c.kind = 'direct' AND mine.username = $2"
            " AND theirs.username <> $2",
            conversation_id,
            username,
        )
        return None if row is None else Peer(*row)

    async def open_direct(self, username: str, peer: str, at_ms: int) -> bool:
        return bool(
            await self._postgres.fetchval(
                "SELECT make_direct($1, $2, $3, $4)",
                ids.direct_id(username, peer),
                username,
                peer,
                at_ms,
            )
        )

    async def advance(self, moves: Sequence[Move]) -> list[Moved]:
        rows = await self._postgres.fetch(
            "SELECT n, code, head, kind, came_from, peer, member_count"
            " FROM advance($1, $2, $3, $4, $5)",
            [move.conversation_id for move in moves],
            [move.username for move in moves],
            [move.cursor is Cursor.READ for move in moves],
            [move.seq for move in moves],
            [None if move.kind is None else move.kind.value for move in moves],
        )
        results = [Moved()] * len(moves)
        for n, code, head, kind, came_from, peer, member_count in rows:
            results[n - 1] = Moved(
                None if code is None else ErrorCode(code),
                head or 0,
                None if kind is None else ConversationKind(kind),
                came_from,
                peer,
                member_count or 0,
            )
        return results

    async def summaries(
        self, username: str, *, limit: int, after: tuple[int, str] | None = None
    ) -> list[Summary]:
        sql = (
            f"{_SUMMARY} AND (head.at < $2 OR (head.at = $2 AND m.conversation_id > $3))"
            " ORDER BY head.at DESC, m.conversation_id LIMIT $4"
        )
        at_ms, conversation_id = after or (2**62, "")
        rows = await self._postgres.fetch(sql, username, at_ms, conversation_id, limit)
        return [_summary(row) for row in rows]

    async def summary(self, conversation_id: str, username: str) -> Summary | None:
        sql = f"{_SUMMARY} AND m.conversation_id = $2"
        row = await self._postgres.fetchrow(sql, username, conversation_id)
        return None if row is None else _summary(row)

    async def members(self, conversation_id: str, *, after: str, limit: int) -> list[Member]:
        rows = await self._postgres.fetch(
            "SELECT username, role, delivered, read FROM member"
            " WHERE conversation_id = $1 AND username > $2 ORDER BY username LIMIT $3",
            conversation_id,
            after,
            limit,
        )
        return [Member(row[0], Role(row[1]), row[2], row[3]) for row in rows]

    async def members_among(self, conversation_id: str, usernames: Collection[str]) -> set[str]:
        rows = await self._postgres.fetch(
            "SELECT username FROM member WHERE conversation_id = $1 AND username = ANY($2)",
            conversation_id,
            list(usernames),
        )
        return {row[0] for row in rows}

    async def may_signal(self, conversation_id: str, username: str) -> ConversationKind | ErrorCode:
        row = await self._postgres.fetchrow(
            "SELECT c.kind, c.kind = 'direct' AND EXISTS (SELECT 1 FROM member AS peer"
            " WHERE peer.conversation_id = m.conversation_id AND peer.username <> m.username"
            " AND is_blocked(m.username, peer.username)) FROM member AS m"
            " JOIN conversation AS c USING (conversation_id)"
            " WHERE m.conversation_id = $1 AND m.username = $2",
            conversation_id,
            username,
        )
        if row is None:
            return ErrorCode.NOT_A_MEMBER
        return ErrorCode.BLOCKED if row[1] else ConversationKind(row[0])

    async def behind(
        self, conversation_id: str, up_to: int, *, after: str, limit: int
    ) -> list[tuple[str, int]]:
        rows = await self._postgres.fetch(
            "SELECT username, delivered FROM member WHERE conversation_id = $1"
            " AND username > $2 AND delivered < $3 ORDER BY username LIMIT $4",
            conversation_id,
            after,
            up_to,
            limit,
        )
        return [(row[0], row[1]) for row in rows]

    async def add_to_mailboxes(
        self, conversation_id: str, usernames: Collection[str], first: int, last: int
    ) -> None:
        async with self._postgres.transaction() as connection:
            # Sorted, so that two nodes never wait for each other.
            await connection.execute(
                "INSERT INTO mailbox AS box (username, conversation_id, first, last)"
                " SELECT who, $1, $3, $4 FROM unnest($2::text[]) AS who"
                " ON CONFLICT (username, conversation_id) DO UPDATE"
                " SET first = least(box.first, excluded.first),"
                " last = greatest(box.last, excluded.last)",
                conversation_id,
                sorted(usernames),
                first,
                last,
            )
            # Whoever has come back needs its row no more, nor has who has left.
            await connection.execute(
                "DELETE FROM mailbox AS box WHERE conversation_id = $1 AND last <= coalesce("
                "(SELECT delivered FROM member AS m WHERE m.conversation_id = $1"
                " AND m.username = box.username), last)",
                conversation_id,
            )

    async def mailbox(self, username: str) -> dict[str, tuple[int, int]]:
        rows = await self._postgres.fetch(
            "SELECT conversation_id, greatest(first, delivered + 1), last FROM mailbox"
            " JOIN member USING (conversation_id, username)"
            " WHERE username = $1 AND last > delivered",
            username,
        )
        return {row[0]: (row[1], row[2]) for row in rows}

    async def sharing_a_group(self, username: str, others: Sequence[str]) -> set[str]:
        rows = await self._postgres.fetch(
            "SELECT DISTINCT theirs.username FROM member AS mine"
            " JOIN conversation AS c USING (conversation_id)"
            " JOIN member AS theirs USING (conversation_id)"
            " WHERE mine.username = $1 AND theirs.username = ANY($2) AND c.kind = 'group'"
            " AND NOT is_blocked($1, theirs.username)",
            username,
            list(others),
        )
        return {row[0] for row in rows}

    async def group_ids(self, after: str, limit: int) -> list[str]:
        rows = await self._postgres.fetch(
            "SELECT conversation_id FROM conversation WHERE kind = 'group'"
            " AND conversation_id > $1 ORDER BY conversation_id LIMIT $2",
            after,
            limit,
        )
        return [row[0] for row in rows]


def _summary(row: Row) -> Summary:
    return Summary(
        membership_of_row(row),
        row["name"],
        row["peer"],
        row["member_count"],
        row["last"],
        row["topic"],
        row["avatar_url"],
        row["is_open"],
        row["at"],
    )
