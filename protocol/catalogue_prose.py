"""The words of docs/protocol.md: what the types in this package cannot say of themselves.

Tables are keyed by type, code or wire name: a test sees what is missing and what is left over.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from protocol import model, pushes, requests
from protocol.errors import ErrorCode


class RequestProse(NamedTuple):
    """What a request is for, what answers it, what others get, its errors besides the common."""

    when: str
    reply: str
    others: str = ""
    errors: Mapping[ErrorCode, str] = {}


_NO_SUCH_USER: Final = {ErrorCode.NO_SUCH_USER: "`to` has no account"}
_BLOCKED: Final = {ErrorCode.BLOCKED: "one of the two has blocked the other"}
_NOT_A_MEMBER: Final = {ErrorCode.NOT_A_MEMBER: "the caller is not in the group, or there is none"}
_POST_ERRORS: Final = {
    ErrorCode.TOO_LARGE: "`content` is over its limit",
    ErrorCode.CLIENT_MSG_ID_REUSED: "`clientMsgId` came before with another body",
}

COMMON_ERRORS: Final[Mapping[ErrorCode, str]] = {
    ErrorCode.MALFORMED_FRAME: "not one JSON object in a text message",
    ErrorCode.UNKNOWN_TYPE: "no such request, or not on this door",
    ErrorCode.INVALID_FIELD: "a field is missing or wrong",
    ErrorCode.FORBIDDEN: "`from` is not the caller, or the connection is not ready for requests",
    ErrorCode.RATE_LIMITED: "too many requests",
    ErrorCode.UNAVAILABLE: "a backend failed",
    ErrorCode.INTERNAL: "a bug",
}

REQUESTS: Final[Mapping[type, RequestProse]] = {
    requests.OneToOneChat: RequestProse(
        "Post a message to one user. Who is not blocked may write to anyone. "
        "`to` oneself is INVALID_FIELD.",
        "SUCCESS with `id`, `seq`, `prev`, `chatId`, `sentAt`, and `clientMsgId` if one was sent.",
        "ONE_TO_ONE_CHAT",
        {**_NO_SUCH_USER, **_BLOCKED, **_POST_ERRORS},
    ),
    requests.GroupChat: RequestProse(
        "Post a message to a group that the caller is in.",
        "SUCCESS with `id`, `seq`, `prev`, `groupId`, `sentAt`, and `clientMsgId` if one was sent.",
        "GROUP_CHAT",
        {**_NOT_A_MEMBER, **_POST_ERRORS},
    ),
    requests.GetOneToOneHistory: RequestProse(
        "Read a page of a direct conversation, found by `to` or by `chatId`.",
        "ONE_TO_ONE_CHAT_HISTORY.",
        errors={
            **_NO_SUCH_USER,
            ErrorCode.NOT_A_MEMBER: "`chatId` is not a conversation of the caller",
        },
    ),
    requests.GetGroupChatHistory: RequestProse(
        "Read a page of a group, as far back as the caller may see.",
        "GROUP_CHAT_HISTORY.",
        errors=_NOT_A_MEMBER,
    ),
    requests.NewOneToOneChat: RequestProse(
        "Open a direct conversation without posting.",
        "SUCCESS with `chatId`.",
        "NEW_ONE_TO_ONE_CHAT, to the other user",
        {**_NO_SUCH_USER, **_BLOCKED},
    ),
    requests.CreateGroup: RequestProse(
        "Make a group with the caller as its admin. All members enter in one event.",
        "SUCCESS with `groupId`, `seq`, `prev`.",
        "GROUP_CREATED",
        {
            ErrorCode.NO_SUCH_USER: "one of `members` has no account",
            ErrorCode.BLOCKED: "one of `members` and the caller have blocked one another",
            ErrorCode.TOO_LARGE: "`members` is over its limit",
        },
    ),
    requests.JoinGroup: RequestProse(
        "Enter a group that is open, or any group with an invite for it.",
        "SUCCESS with `seq`, `prev`.",
        "GROUP_MEMBER_JOINED",
        {
            ErrorCode.NOT_A_MEMBER: "there is no such group, or it is not open and no invite came",
            ErrorCode.ALREADY_A_MEMBER: "the caller is in the group",
            ErrorCode.GROUP_FULL: "the group has as many members as it may have",
            ErrorCode.INVITE_EXPIRED: "`invite` is used up, expired, revoked or unknown",
        },
    ),
    requests.LeaveGroup: RequestProse(
        "Leave a group.",
        "SUCCESS with `seq`, `prev`.",
        "GROUP_MEMBER_LEFT, to the caller's other connections too",
        {**_NOT_A_MEMBER, ErrorCode.LAST_ADMIN: "the only admin may not leave while others remain"},
    ),
    requests.InitData: RequestProse(
        "Ask for what a client shows first: the caller and its most recent conversations.",
        "INIT_DATA.",
    ),
    requests.SubscribePresence: RequestProse(
        "Watch the presence of friends, or of people in the same group. Strangers are UNKNOWN.",
        "SUCCESS, then PRESENCE_UPDATE for each of `users`, now and on every change.",
        errors={ErrorCode.TOO_LARGE: "`users` is over its limit, or too many are watched in all"},
    ),
    requests.Ping: RequestProse("See whether the server is there.", "PONG."),
    requests.Disconnect: RequestProse(
        "Say goodbye.", "nothing; the connection is closed with 1000."
    ),
}

_STORED: Final = (
    "Sent to every connection of every member except the one whose request it comes from."
)

SERVER_FRAMES: Final[Mapping[type, str]] = {
    pushes.Success: "What is set besides `ref` is said with each request.",
    pushes.Error: "The codes are in a table below.",
    pushes.OneToOneChatHistory: "A page of a direct conversation, and where the other user is.",
    pushes.GroupChatHistory: "A page of a group.",
    pushes.InitData: "Conversations that do not fit are listed by `GET /api/conversations`.",
    pushes.Pong: "The server is there.",
    pushes.Info: "It tells what the client should know of the server.",
    pushes.OneToOneChat: f"A message in a direct conversation. {_STORED}",
    pushes.GroupChat: f"A message in a group. {_STORED}",
    pushes.NewOneToOneChat: "Somebody opened a direct conversation with the user.",
    pushes.GroupCreated: f"A group was made, with the user in it. {_STORED}",
    pushes.GroupMemberJoined: "Somebody entered a group. Sent to the members, the new one too.",
    pushes.GroupMemberLeft: "Somebody left a group. Sent to the members, the former one too.",
    pushes.PresenceUpdate: "A user's presence, after SUBSCRIBE_PRESENCE and on every change. "
    "Friends see each other without asking.",
}

ON_PRESENCE_DOOR: Final = frozenset(
    {pushes.Success, pushes.Error, pushes.Pong, pushes.Info, pushes.PresenceUpdate}
)

VALUE_TYPES: Final[tuple[type[msgspec.Struct], ...]] = (
    model.User,
    model.HistoryMessage,
    model.ChatSummary,
    model.GroupSummary,
)
"""Objects inside frames, in the order of the page; `Limits` is the table of limits."""

REQUEST_FIELDS: Final[Mapping[str, str]] = {
    "ref": "repeated by the reply, ERROR too",
    "from": "the caller, as the token has it; anybody else is FORBIDDEN",
    "content": "the text",
    "clientMsgId": "makes a repeat harmless; printable, chosen anew for every message",
    "replyTo": "the `id` of the message that this one answers, of the same conversation",
    "mentions": "usernames that the text speaks to",
    "ttlSeconds": "for messages that vanish; refused with INVALID_FIELD until the server can do it",
    "to": "the other user",
    "chatId": "the conversation; with `to` it must be theirs, else INVALID_FIELD",
    "groupId": "the group",
    "before": "only messages below this `seq`",
    "after": "only messages above this `seq`; not together with `before`",
    "limit": "at most so many messages",
    "name": "what the group is called; printable, not only spaces",
    "groupName": "the group's `name`",
    "members": "usernames of the first members besides the caller",
    "open": "whether anybody may join; else it takes an invite or an admin",
    "history": "what new members may read: from their joining on, or all",
    "invite": "an invite to the group",
    "users": "usernames to watch",
}

SERVER_FIELDS: Final[Mapping[str, str]] = {
    "ref": "the `ref` of the request, if it had one",
    "id": "the message's id",
    "seq": "the event's number in the conversation",
    "prev": "the number before it",
    "chatId": "the direct conversation",
    "groupId": "the group",
    "from": "who wrote it",
    "to": "the other user of the two",
    "content": "the text",
    "sentAt": "when it was stored",
    "clientMsgId": "as its sender chose it",
    "replyTo": "the `id` of the message that this one answers",
    "mentions": "usernames that the text speaks to",
    "offline": "true when it came while the user was away",
    "duplicate": "true when the post was stored before: this is its first ack again",
    "code": "see the table of error codes",
    "msg": "words for a person; not for programs",
    "temporary": "whether the same request may succeed later",
    "retryAfterMs": "how long to wait before the next request, in milliseconds",
    "messages": "ascending by `seq`",
    "hasMore": "whether there is more than this frame holds",
    "headSeq": "the newest number of the conversation",
    "isOnline": "whether the other user is online",
    "lastSeen": "when the other user was last online; null while online or unknown",
    "peerDeliveredSeq": "up to where the other user has received",
    "peerReadSeq": "up to where the other user has read",
    "user": "the caller",
    "chats": "direct conversations, the most recent first",
    "groups": "groups, the most recent first",
    "connectionId": "names this connection in the server's log",
    "protocol": "the version of this page",
    "logId": "new after a restore from backup: a client then drops the positions that it kept",
    "serverTime": "the server's clock",
    "limits": "see the table of limits",
    "name": "what the group is called",
    "by": "who did it",
    "members": "usernames of all members, the maker too",
    "open": "whether anybody may join",
    "history": "what new members may read",
    "at": "when it was stored",
    "username": "the user",
    "status": "UNKNOWN when the server cannot or may not tell",
    "displayName": "the name to show; the username when left out",
    "peer": "the other user",
    "lastSeq": "the newest number of the conversation",
    "deliveredSeq": "up to where the caller has received",
    "readSeq": "up to where the caller has read",
    "unread": 'messages of others after `readSeq`: a number, or beyond the limit a string: "100+"',
    "lastMessage": "the newest message, if there is one",
    "role": "what the caller is in the group",
    "memberCount": "how many members the group has",
}

SPECIAL_FIELDS: Final[Mapping[tuple[type, str], str]] = {
    (requests.GroupChat, "to"): "the older spelling of `groupId`; ignored when that is there",
    (requests.GroupChat, "groupId"): "the group; required unless `to` is there",
    (pushes.Success, "id"): "the new message's id",
    (pushes.Info, "user"): "the caller's username",
    (pushes.NewOneToOneChat, "from"): "who opened it",
    (model.User, "username"): "the user's name, which never changes",
    (model.ChatSummary, "lastSeen"): "when the other user was last online, if offline",
    (pushes.GroupMemberJoined, "username"): "who entered",
    (pushes.GroupMemberLeft, "username"): "who left",
    (pushes.PresenceUpdate, "lastSeen"): "when the user was last online; null if ONLINE or unknown",
}
"""Meanings that differ from those of the other fields with the same name."""


class LimitProse(NamedTuple):
    of: str
    beyond: str


LIMITS: Final[Mapping[str, LimitProse]] = {
    "CONTENT_BYTES": LimitProse("`content` of a message, bytes of UTF-8; at least 1", "TOO_LARGE"),
    "FRAME_BYTES": LimitProse("a WebSocket message to the server, bytes", "close 1009"),
    "GROUP_MEMBERS": LimitProse("members of a group", "GROUP_FULL"),
    "CREATE_GROUP_MEMBERS": LimitProse("`members` of one CREATE_GROUP", "TOO_LARGE"),
    "CLIENT_MSG_ID_CHARS": LimitProse("`clientMsgId`, characters", "INVALID_FIELD"),
    "REF_CHARS": LimitProse("`ref`, characters", "INVALID_FIELD, without a `ref`"),
    "MESSAGE_ID_CHARS": LimitProse("`id` of a message, characters", "INVALID_FIELD"),
    "CONVERSATION_ID_CHARS": LimitProse("`chatId` or `groupId`, characters", "INVALID_FIELD"),
    "GROUP_NAME_CHARS": LimitProse("`name` of a group, characters", "INVALID_FIELD"),
    "INVITE_CHARS": LimitProse("`invite`, characters", "INVALID_FIELD"),
    "HISTORY_PAGE": LimitProse("messages of a history page", "INVALID_FIELD"),
    "HISTORY_PAGE_DEFAULT": LimitProse("messages of a page when `limit` is left out", "nothing"),
    "INIT_DATA_CONVERSATIONS": LimitProse(
        "conversations in INIT_DATA", "only the most recent, `hasMore` is true"
    ),
    "MENTIONS": LimitProse("`mentions` of a message", "INVALID_FIELD"),
    "PRESENCE_USERS": LimitProse("`users` of one SUBSCRIBE_PRESENCE", "TOO_LARGE"),
    "UNREAD_CAP": LimitProse("unread messages that are counted", "`unread` is a string with a +"),
    "TTL_SECONDS": LimitProse("`ttlSeconds`, seconds", "INVALID_FIELD"),
    "MALFORMED_IN_A_ROW": LimitProse(
        "messages in a row that are no request", "close 4502 at the last of them"
    ),
}
