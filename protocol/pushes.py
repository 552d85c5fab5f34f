"""Every server-to-client frame: replies (they repeat the request's `ref`) and pushes (unasked)."""

import msgspec

from protocol.errors import ErrorCode
from protocol.limits import Limits
from protocol.model import (
    ChatSummary,
    GroupSummary,
    HistoryMessage,
    HistoryVisibility,
    PresenceStatus,
    Ref,
    Role,
    User,
)


class Frame(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", rename="camel", omit_defaults=True
):
    pass


class ReplyFrame(Frame, frozen=True, kw_only=True):
    ref: Ref | None = None


class Success(ReplyFrame, tag="SUCCESS", frozen=True, kw_only=True):
    """A request was carried out. For a post it is the ack: the message is stored at `seq`."""

    id: str | None = None
    seq: int | None = None
    prev: int | None = None
    chat_id: str | None = None
    group_id: str | None = None
    sent_at: int | None = None
    client_msg_id: str | None = None
    duplicate: bool = False
    """The request had been carried out before; the reply tells of the first time."""
    version: int | None = None
    """Of an edited message."""
    errors: dict[str, ErrorCode] | None = None
    """Of a RESUME: by conversation, why it was not served."""


class Error(ReplyFrame, tag="ERROR", frozen=True, kw_only=True):
    """A request was not carried out; the connection stays open."""

    code: ErrorCode
    msg: str
    temporary: bool
    retry_after_ms: int | None = None


class OneToOneChatHistory(ReplyFrame, tag="ONE_TO_ONE_CHAT_HISTORY", frozen=True, kw_only=True):
    chat_id: str
    messages: list[HistoryMessage]
    has_more: bool
    head_seq: int
    is_online: bool
    last_seen: int | None
    peer_delivered_seq: int
    peer_read_seq: int


class GroupChatHistory(ReplyFrame, tag="GROUP_CHAT_HISTORY", frozen=True, kw_only=True):
    group_id: str
    messages: list[HistoryMessage]
    has_more: bool
    head_seq: int


class InitData(ReplyFrame, tag="INIT_DATA", frozen=True, kw_only=True):
    """The caller and its most recent conversations; `hasMore` when there are others."""

    user: User
    chats: list[ChatSummary]
    groups: list[GroupSummary]
    has_more: bool


class Pong(ReplyFrame, tag="PONG", frozen=True, kw_only=True):
    pass


class Info(Frame, tag="INFO", frozen=True, kw_only=True):
    """The first frame after connect."""

    msg: str
    user: str
    connection_id: str
    protocol: int
    log_id: str
    """New after a restore from backup: a client then drops the positions that it kept."""
    server_time: int
    limits: Limits


class OneToOneChat(Frame, tag="ONE_TO_ONE_CHAT", frozen=True, kw_only=True):
    id: str
    seq: int
    prev: int
    chat_id: str
    from_: str = msgspec.field(name="from")
    to: str
    content: str
    sent_at: int
    client_msg_id: str | None = None
    reply_to: str | None = None
    mentions: list[str] | None = None
    offline: bool = False


class GroupChat(Frame, tag="GROUP_CHAT", frozen=True, kw_only=True):
    id: str
    seq: int
    prev: int
    group_id: str
    from_: str = msgspec.field(name="from")
    content: str
    sent_at: int
    client_msg_id: str | None = None
    reply_to: str | None = None
    mentions: list[str] | None = None
    offline: bool = False


class NewOneToOneChat(Frame, tag="NEW_ONE_TO_ONE_CHAT", frozen=True, kw_only=True):
    from_: str = msgspec.field(name="from")
    chat_id: str


class GroupCreated(Frame, tag="GROUP_CREATED", frozen=True, kw_only=True):
    group_id: str
    name: str
    by: str
    members: list[str]
    open: bool
    history: HistoryVisibility
    at: int
    seq: int
    prev: int
    offline: bool = False


class GroupMemberJoined(Frame, tag="GROUP_MEMBER_JOINED", frozen=True, kw_only=True):
    group_id: str
    username: str
    by: str
    at: int
    seq: int
    prev: int
    offline: bool = False


class GroupMemberLeft(Frame, tag="GROUP_MEMBER_LEFT", frozen=True, kw_only=True):
    group_id: str
    username: str
    by: str
    at: int
    seq: int
    prev: int
    offline: bool = False


class GroupUpdated(Frame, tag="GROUP_UPDATED", frozen=True, kw_only=True):
    """What is absent did not change; a topic or an avatar that is "" was removed."""

    group_id: str
    name: str | None = None
    topic: str | None = None
    avatar_url: str | None = None
    by: str
    at: int
    seq: int
    prev: int
    offline: bool = False


class RoleChanged(Frame, tag="ROLE_CHANGED", frozen=True, kw_only=True):
    group_id: str
    username: str
    role: Role
    by: str
    at: int
    seq: int
    prev: int
    offline: bool = False


class OnMessage(Frame, frozen=True, kw_only=True):
    """An event that changes a message: `id` is the message's."""

    chat_id: str | None = None
    group_id: str | None = None
    id: str
    from_: str = msgspec.field(name="from")
    at: int
    seq: int
    prev: int
    offline: bool = False


class MessageEdited(OnMessage, tag="MESSAGE_EDITED", frozen=True, kw_only=True):
    """`content` is "" when the message was deleted since."""

    content: str
    version: int


class MessageDeleted(OnMessage, tag="MESSAGE_DELETED", frozen=True, kw_only=True):
    pass


class Reaction(OnMessage, tag="REACTION", frozen=True, kw_only=True):
    emoji: str
    remove: bool = False


class Receipt(Frame, frozen=True, kw_only=True):
    """`username` has everything up to `seq`."""

    chat_id: str | None = None
    group_id: str | None = None
    username: str
    seq: int
    others: int | None = None
    """In a big group: how many more users have moved on in the same moment; one frame
    stands for all of them."""


class DeliveryReceipt(Receipt, tag="DELIVERY_RECEIPT", frozen=True, kw_only=True):
    pass


class ReadReceipt(Receipt, tag="READ_RECEIPT", frozen=True, kw_only=True):
    pass


class Typing(Frame, tag="TYPING", frozen=True, kw_only=True):
    chat_id: str | None = None
    group_id: str | None = None
    username: str
    is_typing: bool


class Resync(Frame, tag="RESYNC", frozen=True, kw_only=True):
    """The connection was sent everything up to `afterSeq`; what follows was too much for it
    and comes from the log."""

    chat_id: str | None = None
    group_id: str | None = None
    after_seq: int


class PresenceUpdate(Frame, tag="PRESENCE_UPDATE", frozen=True, kw_only=True):
    username: str
    status: PresenceStatus
    last_seen: int | None
    """When the user was last online; null while online, never seen, or unknown."""


Reply = Success | Error | OneToOneChatHistory | GroupChatHistory | InitData | Pong
Push = (
    Info
    | OneToOneChat
    | GroupChat
    | NewOneToOneChat
    | GroupCreated
    | GroupMemberJoined
    | GroupMemberLeft
    | GroupUpdated
    | RoleChanged
    | MessageEdited
    | MessageDeleted
    | Reaction
    | DeliveryReceipt
    | ReadReceipt
    | Typing
    | Resync
    | PresenceUpdate
)
ServerFrame = Reply | Push
