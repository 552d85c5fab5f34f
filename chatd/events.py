"""What happens in a conversation, as it is stored: an Event is a place, a sender and a body.

A body is stored as JSON of one of the structs here. Fields may be added with defaults; none may be
removed or change its type, since every event ever stored must stay readable.
"""

from enum import IntEnum
from typing import Final

import msgspec

from protocol.model import HistoryVisibility, Role


class EventKind(IntEnum):
    """Stored as a number: never reuse one."""

    DIRECT_MESSAGE = 1
    GROUP_MESSAGE = 2
    GROUP_CREATED = 3
    MEMBER_JOINED = 4
    MEMBER_LEFT = 5
    MESSAGE_EDITED = 6
    MESSAGE_DELETED = 7
    REACTION = 8
    ROLE_CHANGED = 9
    GROUP_UPDATED = 10


class Body(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    pass


class MessageBody(Body, frozen=True, kw_only=True):
    content: str
    to: str | None = None
    """The other user of a direct conversation."""
    client_msg_id: str | None = None
    reply_to: str | None = None
    mentions: list[str] | None = None


class GroupCreatedBody(Body, frozen=True):
    name: str
    members: list[str]
    open: bool
    history: HistoryVisibility


class MemberBody(Body, frozen=True):
    username: str


class RoleBody(Body, frozen=True):
    username: str
    role: Role


class GroupUpdatedBody(Body, frozen=True, kw_only=True):
    """What is None did not change; "" removes a topic or an avatar."""

    name: str | None = None
    topic: str | None = None
    avatar_url: str | None = None


class ChangeBody(Body, frozen=True, kw_only=True):
    """What the changes of a message have in common."""

    id: str
    """The message's."""
    is_direct: bool = False


class EditBody(ChangeBody, frozen=True, kw_only=True):
    content: str


class DeleteBody(ChangeBody, frozen=True, kw_only=True):
    pass


class ReactionBody(ChangeBody, frozen=True, kw_only=True):
    emoji: str
    remove: bool = False


AnyBody = (
    MessageBody
    | GroupCreatedBody
    | MemberBody
    | RoleBody
    | GroupUpdatedBody
    | EditBody
    | DeleteBody
    | ReactionBody
)

_DECODERS: Final[dict[EventKind, msgspec.json.Decoder[AnyBody]]] = {
    EventKind.DIRECT_MESSAGE: msgspec.json.Decoder(MessageBody),
    EventKind.GROUP_MESSAGE: msgspec.json.Decoder(MessageBody),
    EventKind.GROUP_CREATED: msgspec.json.Decoder(GroupCreatedBody),
    EventKind.MEMBER_JOINED: msgspec.json.Decoder(MemberBody),
    EventKind.MEMBER_LEFT: msgspec.json.Decoder(MemberBody),
    EventKind.MESSAGE_EDITED: msgspec.json.Decoder(EditBody),
    EventKind.MESSAGE_DELETED: msgspec.json.Decoder(DeleteBody),
    EventKind.REACTION: msgspec.json.Decoder(ReactionBody),
    EventKind.ROLE_CHANGED: msgspec.json.Decoder(RoleBody),
    EventKind.GROUP_UPDATED: msgspec.json.Decoder(GroupUpdatedBody),
}
_encode: Final = msgspec.json.Encoder().encode


class Event(msgspec.Struct, frozen=True, gc=False):
    """A committed event."""

    conversation_id: str
    seq: int
    nonce: int
    """The random bits of its id."""
    kind: EventKind
    sender: str
    body: bytes
    at_ms: int
    version: int = 0
    """Of an edit: what it made of its message."""


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message with what became of it since it was posted."""

    posted: Event
    version: int = 1
    edit: Event | None = None
    """The last edit."""
    is_deleted: bool = False
    reactions: list[tuple[str, str]] = []
    """Emoji and user, in the order in which they came."""


def encode_body(body: AnyBody) -> bytes:
    return _encode(body)


def decode_body(kind: EventKind, body: bytes) -> AnyBody:
    return _DECODERS[kind].decode(body)


def blanked(kind: EventKind, body: bytes) -> bytes:
    """The body of a message or an edit without what it said."""
    whole = decode_body(kind, body)
    assert isinstance(whole, MessageBody | EditBody)
    if isinstance(whole, EditBody):
        return _encode(msgspec.structs.replace(whole, content=""))
    return _encode(msgspec.structs.replace(whole, content="", mentions=None))
