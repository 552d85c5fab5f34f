"""What the writer thread remembers of hot conversations, so that most appends read nothing."""

import sqlite3
from collections import OrderedDict
from typing import Final, NamedTuple

from protocol.model import HistoryVisibility, Role

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
        """Members seen writing in it since it is mirrored, and whether `has_written` is
        set for them."""

    def add_sender(self, username: str, has_written: bool) -> None:
        if len(self.senders) >= MIRRORED_SENDERS:
            self.senders.clear()
        self.senders[username] = has_written


class Admitted(NamedTuple):
    """An entry may be appended to this conversation; its change was made."""

    conversation: Mirrored
    befriended: bool = False
    version: int | None = None
    """What an edit makes of its message."""


class Membership(NamedTuple):
    """A member's place, as the rules see it."""

    role: Role
    has_written: bool
    floor: int
    """The member may read events above this number."""


class Mirror:
    def __init__(self) -> None:
        self._conversations: OrderedDict[str, Mirrored] = OrderedDict()

    def clear(self) -> None:
        self._conversations.clear()

    def forget(self, conversation_id: str) -> None:
        self._conversations.pop(conversation_id, None)

    def find(self, connection: sqlite3.Connection, conversation_id: str) -> Mirrored | None:
        """The conversation, from the tables when it is not mirrored; None when there is none."""
        conversation = self._conversations.get(conversation_id)
        if conversation is not None:
            self._conversations.move_to_end(conversation_id)
            return conversation
        row = connection.execute(
            "SELECT head.last, kind = 'group', is_open, member_count FROM conversation"
            " JOIN head USING (conversation_id) WHERE conversation_id = ?",
            (conversation_id,),
        ).fetchone()
        if row is None:
            return None
        return self.remember(conversation_id, Mirrored(row[0], bool(row[1]), bool(row[2]), row[3]))

    def remember(self, conversation_id: str, conversation: Mirrored) -> Mirrored:
        self._conversations[conversation_id] = conversation
        if len(self._conversations) > MIRRORED_CONVERSATIONS:
            self._conversations.popitem(last=False)
        return conversation


def membership_of(
    connection: sqlite3.Connection, conversation_id: str, username: str
) -> Membership | None:
    row = connection.execute(
        "SELECT role, has_written, joined_seq, history FROM member"
        " JOIN conversation USING (conversation_id) WHERE conversation_id = ? AND username = ?",
        (conversation_id, username),
    ).fetchone()
    if row is None:
        return None
    floor = 0 if row[3] == HistoryVisibility.ALL else max(row[2] - 1, 0)
    return Membership(Role(row[0]), bool(row[1]), floor)
