"""The embedded ConversationStore."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

from chatd import ids
from chatd.events import EventKind
from chatd.stores.conversation_store import ConversationKind, Membership, Peer, Summary
from chatd.stores.rows_sqlite import event_of_row, insert_direct
from chatd.stores.thread_sqlite import SqliteThread
from protocol.model import HistoryVisibility, Role

_MEMBERSHIP: Final = (
    "SELECT member.conversation_id, kind, role, history, joined_seq, delivered, read{more}"
    " FROM member JOIN conversation USING (conversation_id){joins}"
)
_MESSAGE_KINDS: Final = f"({EventKind.DIRECT_MESSAGE.value}, {EventKind.GROUP_MESSAGE.value})"
_LAST_MESSAGE_WITHIN: Final = 200
"""Events that are looked through for the newest message of a conversation."""


class SqliteConversationStore:
    """See the port."""

    def __init__(self, writer: SqliteThread, reader: SqliteThread) -> None:
        self._writer = writer
        self._reader = reader

    async def memberships(self, username: str) -> list[Membership]:
        sql = _MEMBERSHIP.format(more="", joins="") + " WHERE username = ?"

        def job(connection: sqlite3.Connection) -> list[Membership]:
            return [_membership(row) for row in connection.execute(sql, (username,))]

        return await self._reader.submit(job)

    async def membership(self, conversation_id: str, username: str) -> Membership | None:
        sql = (
            _MEMBERSHIP.format(more="", joins="")
            + " WHERE member.conversation_id = ? AND username = ?"
        )

        def job(connection: sqlite3.Connection) -> Membership | None:
            row = connection.execute(sql, (conversation_id, username)).fetchone()
            return None if row is None else _membership(row)

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

    async def advance_delivered(self, cursors: Mapping[tuple[str, str], int]) -> None:
        rows = [
            (seq, conversation_id, username) for (conversation_id, username), seq in cursors.items()
        ]

        def job(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "UPDATE member SET delivered = max(delivered, ?)"
                " WHERE conversation_id = ? AND username = ?",
                rows,
            )

        await self._writer.submit(job)

    async def summaries(self, username: str, *, limit: int, unread_cap: int) -> list[Summary]:
        sql = (
            _MEMBERSHIP.format(
                more=", name, member_count, head.last,"
                " (SELECT peer.username FROM member AS peer WHERE kind = 'direct'"
                " AND peer.conversation_id = member.conversation_id"
                " AND peer.username <> member.username)",
                joins=" JOIN head USING (conversation_id)",
            )
            + " WHERE member.username = ? ORDER BY head.at DESC, member.conversation_id LIMIT ?"
        )

        def job(connection: sqlite3.Connection) -> list[Summary]:
            rows = connection.execute(sql, (username, limit)).fetchall()
            return [_summary(connection, username, row, unread_cap) for row in rows]

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
            }

        return await self._reader.submit(job)


def _membership(row: tuple[Any, ...]) -> Membership:
    return Membership(
        row[0],
        ConversationKind(row[1]),
        Role(row[2]),
        HistoryVisibility(row[3]),
        row[4],
        row[5],
        row[6],
    )


def _summary(
    connection: sqlite3.Connection, username: str, row: tuple[Any, ...], unread_cap: int
) -> Summary:
    membership = _membership(row)
    name, member_count, head, peer = row[7:]
    (unread,) = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM ledger"
        " WHERE conversation_id = ? AND seq > ? AND sender <> ?"
        f" AND kind IN {_MESSAGE_KINDS} LIMIT ?)",
        (
            membership.conversation_id,
            max(membership.read, membership.floor),
            username,
            unread_cap + 1,
        ),
    ).fetchone()
    last = connection.execute(
        "SELECT conversation_id, seq, nonce, kind, sender, body, at FROM ledger"
        f" WHERE conversation_id = ? AND seq > ? AND kind IN {_MESSAGE_KINDS}"
        " ORDER BY seq DESC LIMIT 1",
        (membership.conversation_id, max(membership.floor, head - _LAST_MESSAGE_WITHIN)),
    ).fetchone()
    return Summary(
        membership,
        name,
        peer,
        member_count,
        head,
        unread,
        None if last is None else event_of_row(last),
    )
