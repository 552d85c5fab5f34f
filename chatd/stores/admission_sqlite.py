"""Who may append what, decided inside the writer's transaction, with the change of membership that
an event stands for. The state of hot conversations is mirrored in memory.

The mirror is safe because the data folder is locked by this process and only the writer thread
changes these tables. It is forgotten whenever the thread undoes anything.
"""

import sqlite3
from collections import OrderedDict
from typing import Final

from chatd.events import EventKind, GroupCreatedBody, MemberBody, MessageBody
from chatd.stores.ledger import Entry, Outcome
from chatd.stores.rows_sqlite import account_exists, insert_direct, insert_friendship
from protocol.errors import ErrorCode
from protocol.limits import GROUP_MEMBERS
from protocol.model import Role

MIRRORED_CONVERSATIONS: Final = 20_000
"""At the limit the conversation that was longest without an event is forgotten. Far above the
entries of a call."""
MIRRORED_SENDERS: Final = 1_000
"""Of one conversation. At the limit all of them are forgotten, and looked up again."""


class Mirrored:
    """The mirror of one conversation."""

    __slots__ = ("is_group", "is_open", "last", "member_count", "senders")

    def __init__(self, last: int, is_group: bool, is_open: bool, member_count: int) -> None:
        self.last = last
        self.is_group = is_group
        self.is_open = is_open
        self.member_count = member_count
        self.senders: dict[str, bool] = {}
        """Members seen writing in it since it is mirrored, and whether
        `has_written` is set for them."""


class Admission:
    """The rules of the ledger. Every method is called on the writer thread."""

    def __init__(self) -> None:
        self._mirror: OrderedDict[str, Mirrored] = OrderedDict()

    def forget(self) -> None:
        """Something was undone: what is mirrored may not be so."""
        self._mirror.clear()

    def admit(
        self, connection: sqlite3.Connection, entry: Entry
    ) -> Outcome | tuple[Mirrored, bool]:
        """The refusal of an entry, or its conversation, whose next number it takes, and whether it
        made two users friends. The change of membership that it stands for is made."""
        conversation = self._find(connection, entry.conversation_id)
        if conversation is not None and conversation.is_group is (
            entry.kind is EventKind.DIRECT_MESSAGE
        ):
            return Outcome(ErrorCode.NOT_A_MEMBER)
        match entry.kind:
            case EventKind.DIRECT_MESSAGE:
                return self._admit_direct(connection, entry, conversation)
            case EventKind.GROUP_MESSAGE:
                if conversation is None or not _is_sender(connection, entry, conversation):
                    return Outcome(ErrorCode.NOT_A_MEMBER)
                return conversation, False
            case EventKind.GROUP_CREATED:
                if conversation is not None:
                    # Two nodes made the same id: the next try has another.
                    return Outcome(ErrorCode.UNAVAILABLE)
                return self._create_group(connection, entry)
            case EventKind.MEMBER_JOINED:
                return self._join(connection, entry, conversation)
            case EventKind.MEMBER_LEFT:
                return self._leave(connection, entry, conversation)

    def _find(self, connection: sqlite3.Connection, conversation_id: str) -> Mirrored | None:
        conversation = self._mirror.get(conversation_id)
        if conversation is not None:
            self._mirror.move_to_end(conversation_id)
            return conversation
        row = connection.execute(
            "SELECT head.last, kind = 'group', is_open, member_count FROM conversation"
            " JOIN head USING (conversation_id) WHERE conversation_id = ?",
            (conversation_id,),
        ).fetchone()
        if row is None:
            return None
        return self._remember(conversation_id, Mirrored(row[0], bool(row[1]), bool(row[2]), row[3]))

    def _remember(self, conversation_id: str, conversation: Mirrored) -> Mirrored:
        self._mirror[conversation_id] = conversation
        if len(self._mirror) > MIRRORED_CONVERSATIONS:
            self._mirror.popitem(last=False)
        return conversation

    def _admit_direct(
        self, connection: sqlite3.Connection, entry: Entry, conversation: Mirrored | None
    ) -> Outcome | tuple[Mirrored, bool]:
        assert isinstance(entry.body, MessageBody) and entry.body.to is not None
        peer = entry.body.to
        if conversation is None:
            if not insert_direct(
                connection, entry.conversation_id, entry.sender, peer, entry.at_ms
            ):
                return Outcome(ErrorCode.NO_SUCH_USER, peer)
            conversation = self._remember(entry.conversation_id, Mirrored(0, False, False, 2))
        if conversation.senders.get(entry.sender):
            return conversation, False
        if not _is_sender(connection, entry, conversation):
            return Outcome(ErrorCode.NOT_A_MEMBER)
        befriended = False
        if not conversation.senders[entry.sender]:
            connection.execute(
                "UPDATE member SET has_written = 1 WHERE conversation_id = ? AND username = ?",
                (entry.conversation_id, entry.sender),
            )
            conversation.senders[entry.sender] = True
            befriended = _has_written(
                connection, entry.conversation_id, peer
            ) and insert_friendship(connection, entry.sender, peer, entry.at_ms)
        return conversation, befriended

    def _create_group(
        self, connection: sqlite3.Connection, entry: Entry
    ) -> Outcome | tuple[Mirrored, bool]:
        body = entry.body
        assert isinstance(body, GroupCreatedBody)
        for username in body.members:
            if not account_exists(connection, username):
                return Outcome(ErrorCode.NO_SUCH_USER, username)
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
        conversation = Mirrored(0, True, body.open, len(body.members))
        return self._remember(entry.conversation_id, conversation), False

    def _join(
        self, connection: sqlite3.Connection, entry: Entry, conversation: Mirrored | None
    ) -> Outcome | tuple[Mirrored, bool]:
        assert isinstance(entry.body, MemberBody)
        if conversation is None:
            return Outcome(ErrorCode.NOT_A_MEMBER)
        username = entry.body.username
        if _membership(connection, entry.conversation_id, username) is not None:
            return Outcome(ErrorCode.ALREADY_A_MEMBER)
        if not conversation.is_open:
            return Outcome(ErrorCode.NOT_A_MEMBER)
        if conversation.member_count >= GROUP_MEMBERS:
            return Outcome(ErrorCode.GROUP_FULL)
        # Who comes into a group that everybody has left becomes its admin: it must have one.
        role = Role.MEMBER if conversation.member_count else Role.ADMIN
        seq = conversation.last + 1
        connection.execute(
            "INSERT INTO member (conversation_id, username, role, joined_seq, delivered, read)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (entry.conversation_id, username, role.value, seq, seq, seq),
        )
        _change_member_count(connection, entry.conversation_id, conversation, 1)
        return conversation, False

    def _leave(
        self, connection: sqlite3.Connection, entry: Entry, conversation: Mirrored | None
    ) -> Outcome | tuple[Mirrored, bool]:
        assert isinstance(entry.body, MemberBody)
        username = entry.body.username
        membership = (
            None
            if conversation is None
            else _membership(connection, entry.conversation_id, username)
        )
        if conversation is None or membership is None:
            return Outcome(ErrorCode.NOT_A_MEMBER)
        if membership[0] == Role.ADMIN and conversation.member_count > 1:
            (admins,) = connection.execute(
                "SELECT count(*) FROM member WHERE conversation_id = ? AND role = 'ADMIN'",
                (entry.conversation_id,),
            ).fetchone()
            if admins == 1:
                return Outcome(ErrorCode.LAST_ADMIN)
        connection.execute(
            "DELETE FROM member WHERE conversation_id = ? AND username = ?",
            (entry.conversation_id, username),
        )
        conversation.senders.pop(username, None)
        _change_member_count(connection, entry.conversation_id, conversation, -1)
        return conversation, False


def _is_sender(connection: sqlite3.Connection, entry: Entry, conversation: Mirrored) -> bool:
    if entry.sender in conversation.senders:
        return True
    membership = _membership(connection, entry.conversation_id, entry.sender)
    if membership is None:
        return False
    if len(conversation.senders) >= MIRRORED_SENDERS:
        conversation.senders.clear()
    conversation.senders[entry.sender] = bool(membership[1])
    return True


def _membership(
    connection: sqlite3.Connection, conversation_id: str, username: str
) -> tuple[str, int] | None:
    """Role and has_written."""
    row: tuple[str, int] | None = connection.execute(
        "SELECT role, has_written FROM member WHERE conversation_id = ? AND username = ?",
        (conversation_id, username),
    ).fetchone()
    return row


def _has_written(connection: sqlite3.Connection, conversation_id: str, username: str) -> bool:
    membership = _membership(connection, conversation_id, username)
    return membership is not None and bool(membership[1])


def _change_member_count(
    connection: sqlite3.Connection, conversation_id: str, conversation: Mirrored, by: int
) -> None:
    conversation.member_count += by
    connection.execute(
        "UPDATE conversation SET member_count = ? WHERE conversation_id = ?",
        (conversation.member_count, conversation_id),
    )
