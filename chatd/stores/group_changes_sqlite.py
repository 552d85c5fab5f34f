"""The rules of groups and the changes of their tables: made, joined, left, roles, names.
On the writer thread, inside the commit of the event."""

import sqlite3

from chatd.events import GroupCreatedBody, GroupUpdatedBody, MemberBody, RoleBody
from chatd.stores.ledger import Entry, Outcome
from chatd.stores.mirror_sqlite import Admitted, Mirrored, membership_of
from chatd.stores.rows_sqlite import account_exists
from protocol.errors import ErrorCode
from protocol.limits import GROUP_MEMBERS
from protocol.model import Role


def create(connection: sqlite3.Connection, entry: Entry) -> Outcome | Admitted:
    body = entry.body
    assert isinstance(body, GroupCreatedBody)
    for username in body.members:
        refused = _may_be_added(connection, entry.sender, username)
        if refused is not None:
            return refused
    connection.execute(
        "INSERT INTO conversation (conversation_id, kind, name, is_open, history, created_by,"
        " created_at, member_count) VALUES (?, 'group', ?, ?, ?, ?, ?, ?)",
        (
            entry.conversation_id,
            body.name,
            body.open,
            body.history.value,
            entry.sender,
            entry.at_ms,
            len(body.members),
        ),
    )
    connection.execute(
        "INSERT INTO head (conversation_id, last, at) VALUES (?, 0, ?)",
        (entry.conversation_id, entry.at_ms),
    )
    connection.executemany(
        "INSERT INTO member (conversation_id, username, role, joined_seq, delivered, read)"
        " VALUES (?, ?, ?, 1, ?, ?)",
        (
            (entry.conversation_id, username, Role.ADMIN.value, 1, 1)
            if username == entry.sender
            else (entry.conversation_id, username, Role.MEMBER.value, 0, 0)
            for username in body.members
        ),
    )
    return Admitted(Mirrored(0, True, body.open, len(body.members)))


def join(
    connection: sqlite3.Connection, entry: Entry, conversation: Mirrored
) -> Outcome | Admitted:
    """A user joins by itself, or an admin adds it."""
    assert isinstance(entry.body, MemberBody)
    group_id, username = entry.conversation_id, entry.body.username
    if username == entry.sender:
        if membership_of(connection, group_id, username) is not None:
            return Outcome(ErrorCode.ALREADY_A_MEMBER, username)
        if not conversation.is_open:
            return Outcome(ErrorCode.NOT_A_MEMBER)
    else:
        refused = _needs_admin(connection, entry) or _may_be_added(
            connection, entry.sender, username
        )
        if refused is not None:
            return refused
        if membership_of(connection, group_id, username) is not None:
            return Outcome(ErrorCode.ALREADY_A_MEMBER, username)
    if conversation.member_count >= GROUP_MEMBERS:
        return Outcome(ErrorCode.GROUP_FULL)
    # Who comes into a group that everybody has left becomes its admin: it must have one.
    role = Role.MEMBER if conversation.member_count else Role.ADMIN
    seq = conversation.last + 1
    # One who is added by somebody else has not been told yet.
    known = seq if username == entry.sender else seq - 1
    connection.execute(
        "INSERT INTO member (conversation_id, username, role, joined_seq, delivered, read)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (group_id, username, role.value, seq, known, known),
    )
    _change_member_count(connection, group_id, conversation, 1)
    return Admitted(conversation)


def leave(
    connection: sqlite3.Connection, entry: Entry, conversation: Mirrored
) -> Outcome | Admitted:
    """A user leaves, or an admin removes it."""
    assert isinstance(entry.body, MemberBody)
    group_id, username = entry.conversation_id, entry.body.username
    if username != entry.sender:
        refused = _needs_admin(connection, entry)
        if refused is not None:
            return refused
    membership = membership_of(connection, group_id, username)
    if membership is None:
        return Outcome(ErrorCode.NOT_A_MEMBER, "" if username == entry.sender else username)
    if (
        membership.role is Role.ADMIN
        and conversation.member_count > 1
        and _is_last_admin(connection, group_id)
    ):
        return Outcome(ErrorCode.LAST_ADMIN)
    connection.execute(
        "DELETE FROM member WHERE conversation_id = ? AND username = ?", (group_id, username)
    )
    conversation.senders.pop(username, None)
    _change_member_count(connection, group_id, conversation, -1)
    return Admitted(conversation)


def change_role(
    connection: sqlite3.Connection, entry: Entry, conversation: Mirrored
) -> Outcome | Admitted:
    body = entry.body
    assert isinstance(body, RoleBody)
    refused = _needs_admin(connection, entry)
    if refused is not None:
        return refused
    membership = membership_of(connection, entry.conversation_id, body.username)
    if membership is None:
        return Outcome(ErrorCode.NOT_A_MEMBER, body.username)
    if membership.role is body.role:
        return Outcome(seq=conversation.last, at_ms=entry.at_ms, duplicate=True)
    if membership.role is Role.ADMIN and _is_last_admin(connection, entry.conversation_id):
        return Outcome(ErrorCode.LAST_ADMIN)
    connection.execute(
        "UPDATE member SET role = ? WHERE conversation_id = ? AND username = ?",
        (body.role.value, entry.conversation_id, body.username),
    )
    return Admitted(conversation)


def update(
    connection: sqlite3.Connection, entry: Entry, conversation: Mirrored
) -> Outcome | Admitted:
    body = entry.body
    assert isinstance(body, GroupUpdatedBody)
    refused = _needs_admin(connection, entry)
    if refused is not None:
        return refused
    connection.execute(
        "UPDATE conversation SET name = coalesce(?, name), topic = nullif(coalesce(?, topic), ''),"
        " avatar_url = nullif(coalesce(?, avatar_url), '') WHERE conversation_id = ?",
        (body.name, body.topic, body.avatar_url, entry.conversation_id),
    )
    return Admitted(conversation)


def _needs_admin(connection: sqlite3.Connection, entry: Entry) -> Outcome | None:
    membership = membership_of(connection, entry.conversation_id, entry.sender)
    if membership is None:
        return Outcome(ErrorCode.NOT_A_MEMBER)
    return None if membership.role is Role.ADMIN else Outcome(ErrorCode.FORBIDDEN, "admins")


def _may_be_added(connection: sqlite3.Connection, by: str, username: str) -> Outcome | None:
    """Nobody is put into a group by a user whom it has blocked."""
    if not account_exists(connection, username):
        return Outcome(ErrorCode.NO_SUCH_USER, username)
    blocks = connection.execute(
        "SELECT 1 FROM block WHERE username = ? AND blocked = ?", (username, by)
    ).fetchone()
    return None if blocks is None else Outcome(ErrorCode.BLOCKED, username)


def _is_last_admin(connection: sqlite3.Connection, group_id: str) -> bool:
    (admins,) = connection.execute(
        "SELECT count(*) FROM member WHERE conversation_id = ? AND role = 'ADMIN'", (group_id,)
    ).fetchone()
    return bool(admins == 1)


def _change_member_count(
    connection: sqlite3.Connection, group_id: str, conversation: Mirrored, by: int
) -> None:
    conversation.member_count += by
    connection.execute(
        "UPDATE conversation SET member_count = ? WHERE conversation_id = ?",
        (conversation.member_count, group_id),
    )
