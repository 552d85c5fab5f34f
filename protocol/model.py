"""Value types that frames share. All times are integer milliseconds since the Unix epoch."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from protocol import limits

USERNAME_PATTERN = r"^[a-z0-9][a-z0-9_.]{2,31}\Z"
CONVERSATION_ID_PATTERN = r"^[a-z0-9_.\-]{1,65}\Z"

Username = Annotated[
    str,
    Meta(
        pattern=USERNAME_PATTERN, description="3-32 of a-z 0-9 _ . beginning with a letter or digit"
    ),
]
ConversationId = Annotated[
    str,
    Meta(
        pattern=CONVERSATION_ID_PATTERN,
        description="a chatId (two usernames joined by -) or a groupId",
    ),
]
MessageId = Annotated[
    str,
    Meta(
        min_length=1, max_length=limits.MESSAGE_ID_CHARS, description="opaque; safe in a URL path"
    ),
]
ClientMsgId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=limits.CLIENT_MSG_ID_CHARS,
        description="printable; makes a repeat harmless",
    ),
]
Ref = Annotated[
    str, Meta(max_length=limits.REF_CHARS, description="repeated by the reply, ERROR too")
]
Seq = Annotated[
    int, Meta(ge=0, le=2**53 - 1, description="position in the conversation; the first event is 1")
]


class Role(StrEnum):
    ADMIN = "ADMIN"
    MEMBER = "MEMBER"


class HistoryVisibility(StrEnum):
    """What a new member may read: from its own joining on, or everything."""

    JOINED = "joined"
    ALL = "all"


class PresenceStatus(StrEnum):
    ONLINE = "ONLINE"
    OFFLINE = "OFFLINE"
    UNKNOWN = "UNKNOWN"


class Value(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """Base of the JSON objects inside frames."""


class User(Value, frozen=True, kw_only=True):
    username: str
    display_name: str | None = None


class HistoryMessage(Value, frozen=True, kw_only=True):
    """A message as a history shows it, folded at the page's `headSeq`; the fields
    of its live frame."""

    id: str
    seq: int
    prev: int
    from_: str = msgspec.field(name="from")
    content: str
    sent_at: int
    chat_id: str | None = None
    group_id: str | None = None
    to: str | None = None
    client_msg_id: str | None = None
    reply_to: str | None = None
    mentions: list[str] | None = None
    version: int
    """1 as posted, one more with each edit."""
    edited_at: int | None = None
    edited_by: str | None = None
    """Who edited it last, when it was not its author."""
    reactions: dict[str, list[str]] | None = None
    """By emoji, the users who reacted with it, in the order in which they did."""
    deleted: bool = False
    """Its content is gone and empty here."""


class ChatSummary(Value, frozen=True, kw_only=True):
    """A direct conversation in INIT_DATA; `unread` is a number, or "100+" beyond the cap."""

    chat_id: str
    peer: str
    display_name: str | None = None
    is_online: bool = False
    last_seen: int | None = None
    last_seq: int
    delivered_seq: int
    read_seq: int
    unread: int | str
    last_message: HistoryMessage | None = None


class GroupSummary(Value, frozen=True, kw_only=True):
    """A group in INIT_DATA."""

    group_id: str
    name: str
    topic: str | None = None
    avatar_url: str | None = None
    role: Role
    member_count: int
    last_seq: int
    delivered_seq: int
    read_seq: int
    unread: int | str
    last_message: HistoryMessage | None = None
