"""Who may append what, decided inside the writer's transaction, with the change that an event
stands for. The state of hot conversations is mirrored in memory.

The mirror is safe because the data folder is locked by this process and only the writer thread
changes these tables. It is forgotten whenever the thread undoes anything.
"""

import sqlite3

from chatd.events import EventKind, MessageBody
from chatd.ids import direct_id
from chatd.stores import group_changes_sqlite as groups
from chatd.stores import message_changes_sqlite as changes
from chatd.stores.ledger import Entry, Outcome
from chatd.stores.mirror_sqlite import Admitted, Mirror, Mirrored, membership_of
from chatd.stores.rows_sqlite import insert_direct, insert_friendship, is_blocked
from protocol.errors import ErrorCode

_OF_DIRECT_AND_GROUPS = frozenset(
    {EventKind.MESSAGE_EDITED, EventKind.MESSAGE_DELETED, EventKind.REACTION}
)


class Admission:
    """The rules of the ledger. Every method is called on the writer thread."""

    def __init__(self) -> None:
        self._mirror = Mirror()

    def forget(self) -> None:
        """Something was undone: what is mirrored may not be so."""
        self._mirror.clear()

    def forget_direct(self, one: str, other: str) -> None:
        """What two users may send each other has changed."""
        self._mirror.forget(direct_id(one, other))

    def admit(self, connection: sqlite3.Connection, entry: Entry) -> Outcome | Admitted:
        """The refusal of an entry, or the answer to one that repeats an earlier change; else where
        it is admitted to, whose next number it takes. The change that it stands for is made."""
        conversation = self._mirror.find(connection, entry.conversation_id)
        kind = entry.kind
        if (
            conversation is not None
            and conversation.is_group is (kind is EventKind.DIRECT_MESSAGE)
            and kind not in _OF_DIRECT_AND_GROUPS
        ):
            return Outcome(ErrorCode.NOT_A_MEMBER)
        if kind is EventKind.DIRECT_MESSAGE:
            return self._admit_direct(connection, entry, conversation)
        if kind is EventKind.GROUP_CREATED:
            if conversation is not None:
                # Two nodes made the same id: the next try has another.
                return Outcome(ErrorCode.UNAVAILABLE)
            created = groups.create(connection, entry)
            if isinstance(created, Admitted):
                self._mirror.remember(entry.conversation_id, created.conversation)
            return created
        if conversation is None:
            return Outcome(ErrorCode.NOT_A_MEMBER)
        match kind:
            case EventKind.GROUP_MESSAGE:
                if not _is_sender(connection, entry, conversation):
                    return Outcome(ErrorCode.NOT_A_MEMBER)
                return Admitted(conversation)
            case EventKind.MEMBER_JOINED:
                return groups.join(connection, entry, conversation)
            case EventKind.MEMBER_LEFT:
                return groups.leave(connection, entry, conversation)
            case EventKind.ROLE_CHANGED:
                return groups.change_role(connection, entry, conversation)
            case EventKind.GROUP_UPDATED:
                return groups.update(connection, entry, conversation)
            case EventKind.MESSAGE_EDITED:
                return changes.edit(connection, entry, conversation)
            case EventKind.MESSAGE_DELETED:
                return changes.delete(connection, entry, conversation)
            case EventKind.REACTION:
                return changes.react(connection, entry, conversation)

    def _admit_direct(
        self, connection: sqlite3.Connection, entry: Entry, conversation: Mirrored | None
    ) -> Outcome | Admitted:
        assert isinstance(entry.body, MessageBody) and entry.body.to is not None
        peer = entry.body.to
        if conversation is None:
            if is_blocked(connection, entry.sender, peer):
                return Outcome(ErrorCode.BLOCKED, peer)
            if not insert_direct(
                connection, entry.conversation_id, entry.sender, peer, entry.at_ms
            ):
                return Outcome(ErrorCode.NO_SUCH_USER, peer)
            conversation = self._mirror.remember(
                entry.conversation_id, Mirrored(0, False, False, 2)
            )
        if conversation.senders.get(entry.sender):
            return Admitted(conversation)
        # Whoever is among the senders is not blocked: a block makes the mirror forget.
        if is_blocked(connection, entry.sender, peer):
            return Outcome(ErrorCode.BLOCKED, peer)
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
        return Admitted(conversation, befriended)


def _is_sender(connection: sqlite3.Connection, entry: Entry, conversation: Mirrored) -> bool:
    if entry.sender in conversation.senders:
        return True
    membership = membership_of(connection, entry.conversation_id, entry.sender)
    if membership is None:
        return False
    conversation.add_sender(entry.sender, membership.has_written)
    return True


def _has_written(connection: sqlite3.Connection, conversation_id: str, username: str) -> bool:
    membership = membership_of(connection, conversation_id, username)
    return membership is not None and membership.has_written
