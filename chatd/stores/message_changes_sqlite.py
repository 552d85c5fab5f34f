"""The rules of edits, deletes and reactions, and what they change. On the writer
thread, inside the commit of the event."""

import sqlite3
from typing import NamedTuple

from chatd.events import ChangeBody, EventKind, ReactionBody, blanked
from chatd.stores.ledger import Entry, Outcome
from chatd.stores.mirror_sqlite import Admitted, Mirrored, membership_of
from chatd.stores.rows_sqlite import MESSAGE_KINDS, is_blocked, other_member
from protocol.errors import ErrorCode
from protocol.limits import REACTIONS
from protocol.model import Role


class _Target(NamedTuple):
    """The message that is to be changed."""

    seq: int
    nonce: int
    author: str
    is_admin: bool
    """Whoever asks is an admin of its conversation."""
    version: int
    deleted_seq: int | None


def edit(
    connection: sqlite3.Connection, entry: Entry, conversation: Mirrored
) -> Outcome | Admitted:
    target = _target(connection, entry, conversation)
    if isinstance(target, Outcome):
        return target
    if target.deleted_seq is not None:
        return Outcome(ErrorCode.NO_SUCH_MESSAGE)
    if entry.sender != target.author and not target.is_admin:
        return Outcome(ErrorCode.FORBIDDEN, "its author and admins")
    if entry.version is not None and entry.version != target.version:
        return Outcome(ErrorCode.VERSION_CONFLICT, str(target.version))
    version = target.version + 1
    connection.execute(
        "INSERT INTO message_state (conversation_id, seq, version, edited_seq) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET version = excluded.version, edited_seq = excluded.edited_seq",
        (entry.conversation_id, target.seq, version, conversation.last + 1),
    )
    return Admitted(conversation, version=version)


def delete(
    connection: sqlite3.Connection, entry: Entry, conversation: Mirrored
) -> Outcome | Admitted:
    target = _target(connection, entry, conversation, is_allowed_when_blocked=True)
    if isinstance(target, Outcome):
        return target
    if entry.sender != target.author and not target.is_admin:
        return Outcome(ErrorCode.FORBIDDEN, "its author and admins")
    if target.deleted_seq is not None:
        return Outcome(seq=target.deleted_seq, nonce=entry.nonce, duplicate=True)
    connection.execute(
        "INSERT INTO message_state (conversation_id, seq, deleted_seq) VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET deleted_seq = excluded.deleted_seq",
        (entry.conversation_id, target.seq, conversation.last + 1),
    )
    connection.execute(
        "DELETE FROM reaction WHERE conversation_id = ? AND target = ?",
        (entry.conversation_id, target.seq),
    )
    _blank(connection, entry.conversation_id, target.seq)
    return Admitted(conversation)


def react(
    connection: sqlite3.Connection, entry: Entry, conversation: Mirrored
) -> Outcome | Admitted:
    body = entry.body
    assert isinstance(body, ReactionBody)
    target = _target(connection, entry, conversation)
    if isinstance(target, Outcome):
        return target
    if target.deleted_seq is not None:
        return Outcome(ErrorCode.NO_SUCH_MESSAGE)
    key = (entry.conversation_id, target.seq, entry.sender, body.emoji)
    there = connection.execute(
        "SELECT seq FROM reaction"
        " WHERE conversation_id = ? AND target = ? AND username = ? AND emoji = ?",
        key,
    ).fetchone()
    if body.remove:
        if there is None:
            return Outcome(seq=target.seq, nonce=entry.nonce, duplicate=True)
        connection.execute(
            "DELETE FROM reaction"
            " WHERE conversation_id = ? AND target = ? AND username = ? AND emoji = ?",
            key,
        )
        return Admitted(conversation)
    if there is not None:
        return Outcome(seq=there[0], nonce=entry.nonce, duplicate=True)
    (count,) = connection.execute(
        "SELECT count(*) FROM reaction WHERE conversation_id = ? AND target = ?", key[:2]
    ).fetchone()
    if count >= REACTIONS:
        return Outcome(ErrorCode.TOO_LARGE, f"a message has at most {REACTIONS} reactions")
    connection.execute(
        "INSERT INTO reaction (conversation_id, target, username, emoji, seq)"
        " VALUES (?, ?, ?, ?, ?)",
        (*key, conversation.last + 1),
    )
    return Admitted(conversation)


def _target(
    connection: sqlite3.Connection,
    entry: Entry,
    conversation: Mirrored,
    *,
    is_allowed_when_blocked: bool = False,
) -> Outcome | _Target:
    place, body = entry.target, entry.body
    assert place is not None and isinstance(body, ChangeBody)
    if body.is_direct is conversation.is_group:
        return Outcome(ErrorCode.NOT_A_MEMBER)
    membership = membership_of(connection, entry.conversation_id, entry.sender)
    if membership is None:
        return Outcome(ErrorCode.NOT_A_MEMBER)
    if not conversation.is_group and not is_allowed_when_blocked:
        peer = other_member(connection, entry.conversation_id, entry.sender)
        if peer is not None and is_blocked(connection, entry.sender, peer):
            return Outcome(ErrorCode.BLOCKED, peer)
    row = connection.execute(
        "SELECT ledger.nonce, ledger.sender, coalesce(message_state.version, 1), deleted_seq"
        " FROM ledger LEFT JOIN message_state USING (conversation_id, seq)"
        f" WHERE conversation_id = ? AND seq = ? AND kind IN {MESSAGE_KINDS}",
        (entry.conversation_id, place.seq),
    ).fetchone()
    if (
        row is None
        or row[0] != place.nonce
        or place.conversation_id != entry.conversation_id
        or place.seq <= membership.floor
    ):
        return Outcome(ErrorCode.NO_SUCH_MESSAGE)
    return _Target(place.seq, row[0], row[1], membership.role is Role.ADMIN, row[2], row[3])


def _blank(connection: sqlite3.Connection, conversation_id: str, seq: int) -> None:
    """Overwrite the body of a message and those of its edits."""
    rows = connection.execute(
        "SELECT seq, kind, body FROM ledger WHERE conversation_id = ? AND (seq = ?"
        " OR (target = ? AND kind = ?))",
        (conversation_id, seq, seq, EventKind.MESSAGE_EDITED.value),
    ).fetchall()
    connection.executemany(
        "UPDATE ledger SET body = ? WHERE conversation_id = ? AND seq = ?",
        ((blanked(EventKind(kind), body), conversation_id, at) for at, kind, body in rows),
    )
