"""What happens in a conversation, as it is stored: an Event is a place, a sender and a body.

A body is stored as JSON of one of the structs here. Fields may be added with defaults; none may be
removed or change its type, since every event ever stored must stay readable.
"""

from enum import IntEnum
from typing import Final

import msgspec

from protocol.model import HistoryVisibility


class EventKind(IntEnum):
    """Stored as a number: never reuse one."""

    DIRECT_MESSAGE = 1
    GROUP_MESSAGE = 2
    GROUP_CREATED = 3
    MEMBER_JOINED = 4
    MEMBER_LEFT = 5


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


AnyBody = MessageBody | GroupCreatedBody | MemberBody

_DECODERS: Final[dict[EventKind, msgspec.json.Decoder[AnyBody]]] = {
    EventKind.DIRECT_MESSAGE: msgspec.json.Decoder(MessageBody),
    EventKind.GROUP_MESSAGE: msgspec.json.Decoder(MessageBody),
    EventKind.GROUP_CREATED: msgspec.json.Decoder(GroupCreatedBody),
    EventKind.MEMBER_JOINED: msgspec.json.Decoder(MemberBody),
    EventKind.MEMBER_LEFT: msgspec.json.Decoder(MemberBody),
}
_encode: Final = msgspec.json.Encoder().encode

MESSAGES: Final = frozenset({EventKind.DIRECT_MESSAGE, EventKind.GROUP_MESSAGE})


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


def encode_body(body: AnyBody) -> bytes:
    return _encode(body)


def decode_body(kind: EventKind, body: bytes) -> AnyBody:
    return _DECODERS[kind].decode(body)
