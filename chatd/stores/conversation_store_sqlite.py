"""The embedded ConversationStore."""

import sqlite3
from collections.abc import Collection, Sequence
from typing import Any, Final

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
from chatd.stores.rows import membership_of_row
from chatd.stores.rows_sqlite import insert_direct, is_blocked, other_member
from chatd.stores.thread_sqlite import SqliteThread
from protocol.errors import ErrorCode
from protocol.model import Role

_MEMBERSHIP: Final = (
    "SELECT member.conversation_id, kind, role, history, joined_seq, delivered, read{more}"
    " FROM member JOIN conversation USING (conversation_id){joins}"
)
_HEAD: Final = ", coalesce(head.last, 0)"
_OF_HEAD: Final = " LEFT JOIN head USING (conversation_id)"
_SUMMARY: Final = (
    _MEMBERSHIP.format(
        more=", name, member_count, head.last, topic, avatar_url, is_open, head.at,"
        " (SELECT peer.username FROM member AS peer WHERE kind = 'direct'"
        " AND peer.conversation_id = member.conversation_id"
        " AND peer.username <> member.username)",
        joins=" JOIN head USING (conversation_id)",
    )
    + " WHERE member.username = ?"
)


class SqliteConversationStore:
    """See the port."""

    def __init__(self, writer: SqliteThread, reader: SqliteThread) -> None:
        self._writer = writer
        self._reader = reader

    async def memberships(self, username: str) -> list[Membership]:
        sql = _MEMBERSHIP.format(more="", joins="") + " WHERE username = ?"

        def job(connection: sqlite3.Connection) -> list[Membership]:
            return [membership_of_row(row) for row in connection.execute(sql, (username,))]

        return await self._reader.submit(job)

    async def membership(self, conversation_id: str, username: str) -> Membership | None:
        sql = (
            _MEMBERSHIP.format(more=_HEAD, joins=_OF_HEAD)
            + " WHERE member.conversation_id = ? AND username = ?"
        )

        def job(connection: sqlite3.Connection) -> Membership | None:
            row = connection.execute(sql, (conversation_id, username)).fetchone()
            return None if row is None else membership_of_row(row)._replace(head=row[7])

        return await self._reader.submit(job)

    async def peer(self, conversation_id: str, username: str) -> Peer | None:
        def job(connection: sqlite3.Connection) -> Peer | None:
            row = connection.execute(
                "SELECT theirs.username, theirs.delivered, theirs.read FROM conversation"
                " JOIN member AS mine USING (conversation_id)"
                " JOIN member AS theirs USING (conversation_id)"
                " WHERE conversation_id = ? AND kind = 'direct' AND mine.username = ?"
                " AND theirs.username <> ?",
                (conversation_id, username, username),
            ).fetchone()
            return None if row is None else Peer(*row)

        return await self._reader.submit(job)

    async def open_direct(self, username: str, peer: str, at_ms: int) -> bool:
        conversation_id = ids.direct_id(username, peer)

        def job(connection: sqlite3.Connection) -> bool:
            there = connection.execute(
                "SELECT 1 FROM conversation WHERE conversation_id = ?", (conversation_id,)
            ).fetchone()
            return there is not None or insert_direct(
                connection, conversation_id, username, peer, at_ms
            )

        return await self._writer.submit(job)

    async def advance(self, moves: Sequence[Move]) -> list[Moved]:
        def job(connection: sqlite3.Connection) -> list[Moved]:
            return [_advance(connection, move) for move in moves]

        return await self._writer.submit(job)

    async def summaries(
        self, username: str, *, limit: int, after: tuple[int, str] | None = None
    ) -> list[Summary]:
        sql = (
            f"{_SUMMARY} AND (head.at < ? OR (head.at = ? AND member.conversation_id > ?))"
            " ORDER BY head.at DESC, member.conversation_id LIMIT ?"
        )
        at_ms, conversation_id = after or (2**62, "")
        arguments = (username, at_ms, at_ms, conversation_id, limit)

        def job(connection: sqlite3.Connection) -> list[Summary]:
            return [_summary(row) for row in connection.execute(sql, arguments)]

        return await self._reader.submit(job)

    async def summary(self, conversation_id: str, username: str) -> Summary | None:
        sql = f"{_SUMMARY} AND member.conversation_id = ?"

        def job(connection: sqlite3.Connection) -> Summary | None:
            row = connection.execute(sql, (username, conversation_id)).fetchone()
            return None if row is None else _summary(row)

        return await self._reader.submit(job)

    async def members(self, conversation_id: str, *, after: str, limit: int) -> list[Member]:
        def job(connection: sqlite3.Connection) -> list[Member]:
            rows = connection.execute(
                "SELECT username, role, delivered, read FROM member"
                " WHERE conversation_id = ? AND username > ? ORDER BY username LIMIT ?",
                (conversation_id, after, limit),
            )
            return [Member(row[0], Role(row[1]), row[2], row[3]) for row in rows]

        return await self._reader.submit(job)

    async def members_among(self, conversation_id: str, usernames: Collection[str]) -> set[str]:
        sql = "SELECT 1 FROM member WHERE conversation_id = ? AND username = ?"

        def job(connection: sqlite3.Connection) -> set[str]:
            return {
                username
                for username in usernames
                if connection.execute(sql, (conversation_id, username)).fetchone()
            }

        return await self._reader.submit(job)

    async def may_signal(self, conversation_id: str, username: str) -> ConversationKind | ErrorCode:
        def job(connection: sqlite3.Connection) -> ConversationKind | ErrorCode:
            row = connection.execute(
                "SELECT kind FROM member JOIN conversation USING (conversation_id)"
                " WHERE conversation_id = ? AND username = ?",
                (conversation_id, username),
            ).fetchone()
            if row is None:
                return ErrorCode.NOT_A_MEMBER
            kind = ConversationKind(row[0])
            if kind is ConversationKind.DIRECT:
                peer = other_member(connection, conversation_id, username)
                if peer is not None and is_blocked(connection, username, peer):
                    return ErrorCode.BLOCKED
            return kind

        return await self._reader.submit(job)

    async def behind(
        self, conversation_id: str, up_to: int, *, after: str, limit: int
    ) -> list[tuple[str, int]]:
        def job(connection: sqlite3.Connection) -> list[tuple[str, int]]:
            return connection.execute(
                "SELECT username, delivered FROM member WHERE conversation_id = ?"
                " AND username > ? AND delivered < ? ORDER BY username LIMIT ?",
                (conversation_id, after, up_to, limit),
            ).fetchall()

        return await self._reader.submit(job)

    async def add_to_mailboxes(
        self, conversation_id: str, usernames: Collection[str], first: int, last: int
    ) -> None:
        rows = [(username, conversation_id, first, last) for username in usernames]

        def job(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "INSERT INTO mailbox (username, conversation_id, first, last) VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET first = min(first, excluded.first),"
                " last = max(last, excluded.last)",
                rows,
            )
            # Whoever has come back needs its row no more.
            connection.execute(
                "DELETE FROM mailbox WHERE conversation_id = ? AND last <= coalesce((SELECT"
                " delivered FROM member WHERE member.conversation_id = mailbox.conversation_id"
                " AND member.username = mailbox.username), mailbox.last)",
                (conversation_id,),
            )

        await self._writer.submit(job)

    async def mailbox(self, username: str) -> dict[str, tuple[int, int]]:
        def job(connection: sqlite3.Connection) -> dict[str, tuple[int, int]]:
            rows = connection.execute(
                "SELECT conversation_id, max(first, delivered + 1), last FROM mailbox"
                " JOIN member USING (conversation_id, username)"
                " WHERE username = ? AND last > delivered",
                (username,),
            )
            return {row[0]: (row[1], row[2]) for row in rows}

        return await self._reader.submit(job)

    async def sharing_a_group(self, username: str, others: Sequence[str]) -> set[str]:
        def job(connection: sqlite3.Connection) -> set[str]:
            return {
                other
                for other in others
                if connection.execute(
                    "SELECT 1 FROM member AS mine JOIN conversation USING (conversation_id)"
                    " JOIN member AS theirs USING (conversation_id)"
                    " WHERE mine.username = ? AND theirs.username = ? AND kind = 'group' LIMIT 1",
                    (username, other),
                ).fetchone()
                and not is_blocked(connection, username, other)
            }

        return await self._reader.submit(job)

    async def group_ids(self, after: str, limit: int) -> list[str]:
        def job(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute(
                "SELECT conversation_id FROM conversation WHERE kind = 'group'"
                " AND conversation_id > ? ORDER BY conversation_id LIMIT ?",
                (after, limit),
            )
            return [row[0] for row in rows]

        return await self._reader.submit(job)


def _advance(connection: sqlite3.Connection, move: Move) -> Moved:
    key = (move.conversation_id, move.username)
    row = connection.execute(
        "SELECT delivered, read, head.last, kind, member_count FROM member"
        " JOIN conversation USING (conversation_id) JOIN head USING (conversation_id)"
        " WHERE conversation_id = ? AND username = ?",
        key,
    ).fetchone()
    if row is None:
        return Moved(ErrorCode.NOT_A_MEMBER)
    delivered, read, head, kind_text, member_count = row
    kind = ConversationKind(kind_text)
    if move.kind is not None and move.kind is not kind:
        return Moved(ErrorCode.NOT_A_MEMBER)
    if move.seq > head:
        return Moved(ErrorCode.INVALID_FIELD, head, kind)
    is_read = move.cursor is Cursor.READ
    came_from = read if is_read else delivered
    if move.seq <= came_from:
        return Moved(None, head, kind)
    connection.execute(
        "UPDATE member SET delivered = ?, read = ? WHERE conversation_id = ? AND username = ?",
        (max(delivered, move.seq), move.seq if is_read else read, *key),
    )
    peer = None
    if kind is ConversationKind.DIRECT:
        peer = other_member(connection, *key)
        if peer is not None and is_blocked(connection, move.username, peer):
            peer = None
    return Moved(None, head, kind, came_from, peer, member_count)


def _summary(row: tuple[Any, ...]) -> Summary:
    name, member_count, head, topic, avatar_url, is_open, at_ms, peer = row[7:]
    return Summary(
        membership_of_row(row),
        name,
        peer,
        member_count,
        head,
        topic,
        avatar_url,
        bool(is_open),
        at_ms,
    )
