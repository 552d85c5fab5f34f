"""Which frames are events of a conversation, and where a frame belongs."""

from typing import NamedTuple

from protocol.pushes import (
    GroupChat,
    GroupCreated,
    GroupMemberJoined,
    GroupMemberLeft,
    GroupUpdated,
    MessageDeleted,
    MessageEdited,
    OneToOneChat,
    Reaction,
    RoleChanged,
    ServerFrame,
)

Event = (
    OneToOneChat
    | GroupChat
    | GroupCreated
    | GroupMemberJoined
    | GroupMemberLeft
    | GroupUpdated
    | RoleChanged
    | MessageEdited
    | MessageDeleted
    | Reaction
)
"""Everything that has a number in a conversation."""


class Where(NamedTuple):
    """A conversation as frames name it: exactly one of the two. An id is never parsed."""

    chat_id: str | None = None
    group_id: str | None = None

    @property
    def id(self) -> str:
        found = self.chat_id or self.group_id
        assert found is not None, "one of the two is set"
        return found


def where_of(frame: ServerFrame) -> Where | None:
    """The conversation that a frame is about; None when it is about none."""
    where = Where(getattr(frame, "chat_id", None), getattr(frame, "group_id", None))
    return where if any(where) else None
