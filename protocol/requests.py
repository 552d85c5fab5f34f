"""Every client-to-server frame. Unknown fields are ignored, so that clients may be
newer than the server."""

from typing import Annotated

import msgspec
from msgspec import Meta

from protocol import limits
from protocol.model import (
    ClientMsgId,
    ConversationId,
    HistoryVisibility,
    MessageId,
    Ref,
    Seq,
    Username,
)

Mentions = Annotated[list[Username], Meta(max_length=limits.MENTIONS)]
TtlSeconds = Annotated[int, Meta(ge=1, le=limits.TTL_SECONDS)]
PageLimit = Annotated[int, Meta(ge=1, le=limits.HISTORY_PAGE)]
GroupName = Annotated[str, Meta(min_length=1, max_length=limits.GROUP_NAME_CHARS)]
Emoji = Annotated[str, Meta(min_length=1, max_length=limits.EMOJI_CHARS, description="one emoji")]
Version = Annotated[int, Meta(ge=1, le=2**53 - 1, description="1 as posted, one more an edit")]


class Frame(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", rename="camel", omit_defaults=True
):
    """What every request may carry."""

    ref: Ref | None = None
    from_: str | None = msgspec.field(default=None, name="from")
    """If present it must be the authenticated user; identity comes from the token alone."""


class Post(Frame, frozen=True, kw_only=True):
    """The fields of the two frames that post a message."""

    content: str
    client_msg_id: ClientMsgId | None = None
    reply_to: MessageId | None = None
    mentions: Mentions | None = None
    ttl_seconds: TtlSeconds | None = None


class OneToOneChat(Post, tag="ONE_TO_ONE_CHAT", frozen=True, kw_only=True):
    to: Username
    chat_id: ConversationId | None = None


class GroupChat(Post, tag="GROUP_CHAT", frozen=True, kw_only=True):
    group_id: ConversationId = ""
    to: ConversationId | None = None
    """The older spelling of groupId."""

    def __post_init__(self) -> None:
        if not self.group_id:
            if not self.to:
                raise ValueError("Object missing required field `groupId`")
            msgspec.structs.force_setattr(self, "group_id", self.to)


class History(Frame, frozen=True, kw_only=True):
    """The fields of the two history requests: `before` or `after`, exclusive, or neither
    for the newest page."""

    before: Seq | None = None
    after: Seq | None = None
    limit: PageLimit = limits.HISTORY_PAGE_DEFAULT


class GetOneToOneHistory(History, tag="GET_ONE_TO_ONE_HISTORY", frozen=True, kw_only=True):
    to: Username | None = None
    chat_id: ConversationId | None = None


class GetGroupChatHistory(History, tag="GET_GROUP_CHAT_HISTORY", frozen=True, kw_only=True):
    group_id: ConversationId


class NewOneToOneChat(Frame, tag="NEW_ONE_TO_ONE_CHAT", frozen=True, kw_only=True):
    to: Username


class CreateGroup(Frame, tag="CREATE_GROUP", frozen=True, kw_only=True):
    name: GroupName
    members: list[Username] = []
    """Besides the caller; over the limit is TOO_LARGE, checked by the service so that
    the error says so."""
    open: bool = False
    history: HistoryVisibility = HistoryVisibility.JOINED


class CreateGroupChat(Frame, tag="CREATE_GROUP_CHAT", frozen=True, kw_only=True):
    """The older spelling of CREATE_GROUP; decoding turns it into one."""

    group_name: GroupName
    members: list[Username] = []
    open: bool = False
    history: HistoryVisibility = HistoryVisibility.JOINED


class JoinGroup(Frame, tag="JOIN_GROUP", frozen=True, kw_only=True):
    group_id: ConversationId
    invite: Annotated[str, Meta(max_length=limits.INVITE_CHARS)] | None = None


class JoinGroupChat(JoinGroup, tag="JOIN_GROUP_CHAT", frozen=True, kw_only=True):
    """The older spelling of JOIN_GROUP; decoding turns it into one."""


class LeaveGroup(Frame, tag="LEAVE_GROUP", frozen=True, kw_only=True):
    group_id: ConversationId


class InitData(Frame, tag="INIT_DATA", frozen=True, kw_only=True):
    pass


class Resume(Frame, tag="RESUME", frozen=True, kw_only=True):
    positions: dict[str, Seq]
    """By conversation, the seq up to which the client has every event; over the limit is TOO_LARGE,
    checked by the service so that the error says so."""


class InConversation(Frame, frozen=True, kw_only=True):
    """The fields of requests about a conversation of either kind: exactly one of the two."""

    chat_id: ConversationId | None = None
    group_id: ConversationId | None = None


class Ack(InConversation, tag="ACK", frozen=True, kw_only=True):
    seq: Seq


class MarkRead(InConversation, tag="MARK_READ", frozen=True, kw_only=True):
    seq: Seq


class Typing(InConversation, tag="TYPING", frozen=True, kw_only=True):
    is_typing: bool


class OnMessage(InConversation, frozen=True, kw_only=True):
    """The fields of requests about a message."""

    id: MessageId


class EditMessage(OnMessage, tag="EDIT_MESSAGE", frozen=True, kw_only=True):
    content: str
    version: Version | None = None
    """The version that the caller has seen: another one is VERSION_CONFLICT."""


class DeleteMessage(OnMessage, tag="DELETE_MESSAGE", frozen=True, kw_only=True):
    pass


class React(OnMessage, tag="REACT", frozen=True, kw_only=True):
    emoji: Emoji
    remove: bool = False


class SubscribePresence(Frame, tag="SUBSCRIBE_PRESENCE", frozen=True, kw_only=True):
    users: list[Username]


class Ping(Frame, tag="PING", frozen=True, kw_only=True):
    pass


class Disconnect(Frame, tag="DISCONNECT", frozen=True, kw_only=True):
    pass


Request = (
    OneToOneChat
    | GroupChat
    | GetOneToOneHistory
    | GetGroupChatHistory
    | NewOneToOneChat
    | CreateGroup
    | JoinGroup
    | LeaveGroup
    | InitData
    | Resume
    | Ack
    | MarkRead
    | Typing
    | EditMessage
    | DeleteMessage
    | React
    | SubscribePresence
    | Ping
    | Disconnect
)
"""What the rest of the server sees."""

Spelling = Request | CreateGroupChat | JoinGroupChat
"""What may come over the wire: the requests and their older spellings."""


def current(frame: Spelling) -> Request:
    """The request that an older spelling stands for; any other frame is returned as it is."""
    if isinstance(frame, JoinGroupChat):
        return JoinGroup(
            ref=frame.ref, from_=frame.from_, group_id=frame.group_id, invite=frame.invite
        )
    if isinstance(frame, CreateGroupChat):
        return CreateGroup(
            ref=frame.ref,
            from_=frame.from_,
            name=frame.group_name,
            members=frame.members,
            open=frame.open,
            history=frame.history,
        )
    return frame
