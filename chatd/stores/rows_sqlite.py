"""Rows that more than one SQLite adapter reads or writes, on the thread of the connection."""

import sqlite3

from chatd.events import Event, EventKind


def event_of_row(row: tuple[str, int, int, int, str, bytes, int]) -> Event:
    return Event(row[0], row[1], row[2], EventKind(row[3]), row[4], row[5], row[6])


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
