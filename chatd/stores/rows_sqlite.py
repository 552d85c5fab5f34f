"""Rows that more than one SQLite adapter reads or writes, on the thread of the connection."""

import sqlite3
from typing import Any, Final

from chatd.events import EventKind, Message
from chatd.stores.rows import event_of_row

EVENT_COLUMNS: Final = (
    "ledger.conversation_id, ledger.seq, nonce, kind, sender, body, at, coalesce(version, 0)"
)
MESSAGE_KINDS: Final = f"({EventKind.DIRECT_MESSAGE.value}, {EventKind.GROUP_MESSAGE.value})"


def messages_of_rows(
    connection: sqlite3.Connection, conversation_id: str, rows: list[tuple[Any, ...]]
) -> list[Message]:
    """Rows of messages of one conversation, ascending, with what became of them."""
    if not rows:
        return []
    between = (conversation_id, rows[0][1], rows[-1][1])
    states = {
        row[0]: row[1:]
        for row in connection.execute(
            "SELECT seq, version, edited_seq, deleted_seq FROM message_state"
            " WHERE conversation_id = ? AND seq BETWEEN ? AND ?",
            between,
        )
    }
    reactions: dict[int, list[tuple[str, str]]] = {}
    for target, emoji, username in connection.execute(
        "SELECT target, emoji, username FROM reaction"
        " WHERE conversation_id = ? AND target BETWEEN ? AND ? ORDER BY target, seq",
        between,
    ):
        reactions.setdefault(target, []).append((emoji, username))
    messages: list[Message] = []
    for row in rows:
        posted = event_of_row(row)
        version, edited_seq, deleted_seq = states.get(posted.seq, (1, None, None))
        edit = None
        if edited_seq is not None:
            edit = event_of_row(
                connection.execute(
                    f"SELECT {EVENT_COLUMNS} FROM ledger WHERE conversation_id = ? AND seq = ?",
                    (conversation_id, edited_seq),
                ).fetchone()
            )
        messages.append(
            Message(posted, version, edit, deleted_seq is not None, reactions.get(posted.seq, []))
        )
    return messages


def account_exists(connection: sqlite3.Connection, username: str) -> bool:
    return (
        connection.execute("SELECT 1 FROM account WHERE username = ?", (username,)).fetchone()
        is not None
    )


def insert_direct(
    connection: sqlite3.Connection, conversation_id: str, creator: str, peer: str, at_ms: int
) -> bool:
    """Make a direct conversation that is not there yet; false when there is no account `peer`."""
    if not account_exists(connection, peer):
        return False
    connection.execute(
        "INSERT INTO conversation (conversation_id, kind, created_by, created_at, member_count)"
        " VALUES (?, 'direct', ?, ?, 2)",
        (conversation_id, creator, at_ms),
    )
    connection.execute(
        "INSERT INTO head (conversation_id, last, at) VALUES (?, 0, ?)", (conversation_id, at_ms)
    )
    connection.executemany(
        "INSERT INTO member (conversation_id, username, role, joined_seq, delivered, read)"
        " VALUES (?, ?, 'MEMBER', 0, 0, 0)",
        ((conversation_id, username) for username in (creator, peer)),
    )
    return True


def insert_friendship(connection: sqlite3.Connection, one: str, other: str, at_ms: int) -> bool:
    """Make two users friends; false when they were."""
    changed = connection.executemany(
        "INSERT INTO friendship (username, friend, since) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        ((one, other, at_ms), (other, one, at_ms)),
    ).rowcount
    return changed > 0


def is_blocked(connection: sqlite3.Connection, one: str, other: str) -> bool:
    """Whether one of the two has blocked the other."""
    return (
        connection.execute(
            "SELECT 1 FROM block WHERE (username = ? AND blocked = ?)"
            " OR (username = ? AND blocked = ?)",
            (one, other, other, one),
        ).fetchone()
        is not None
    )


def other_member(connection: sqlite3.Connection, conversation_id: str, username: str) -> str | None:
    """The other user of a direct conversation."""
    row = connection.execute(
        "SELECT username FROM member WHERE conversation_id = ? AND username <> ?",
        (conversation_id, username),
    ).fetchone()
    return None if row is None else str(row[0])
