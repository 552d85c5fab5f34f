"""The words of docs/protocol.md: what the types in this package cannot say of themselves.

Those for fields and limits are in `catalogue_fields`. Tables are keyed by type, code or wire name:
a test sees what is missing and what is left over.
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
_NOT_IN_IT: Final = {
    ErrorCode.NOT_A_MEMBER: "the caller is not in the conversation, or there is none"
}
_NO_SUCH_MESSAGE: Final = {
    ErrorCode.NO_SUCH_MESSAGE: "no such message, or it was deleted, or the caller may not see it"
}
_ONE_OF_TWO: Final = "Exactly one of `chatId` and `groupId` says where, else INVALID_FIELD."
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
            ErrorCode.BLOCKED: "one of `members` has blocked the caller",
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
    requests.Resume: RequestProse(
        "Ask for what this connection lacks; see [Resuming](#resuming).",
        "the missing events, then SUCCESS, with `errors` for the conversations that were not "
        "served: NOT_A_MEMBER.",
        errors={ErrorCode.TOO_LARGE: "`positions` is over its limit"},
    ),
    requests.Ack: RequestProse(
        "Say that the client has everything up to `seq`; see [Receipts](#receipts). "
        f"A `seq` above the head is INVALID_FIELD. {_ONE_OF_TWO}",
        "SUCCESS if the request had a `ref`, when the cursor is stored; else none.",
        "DELIVERY_RECEIPT",
        _NOT_IN_IT,
    ),
    requests.MarkRead: RequestProse(
        "Say that the user has read everything up to `seq`; see [Receipts](#receipts). "
        f"A `seq` above the head is INVALID_FIELD. {_ONE_OF_TWO}",
        "SUCCESS if the request had a `ref`, when the cursor is stored; else none.",
        "READ_RECEIPT",
        _NOT_IN_IT,
    ),
    requests.Typing: RequestProse(
        f"Say that the user is typing, or has stopped; see [Typing](#typing). {_ONE_OF_TWO}",
        "none, unless it is refused: ERROR.",
        "TYPING",
        {**_NOT_IN_IT, **_BLOCKED},
    ),
    requests.EditMessage: RequestProse(
        "Give a message another text, by its author or by an admin of the group: anybody else is "
        f"FORBIDDEN. {_ONE_OF_TWO}",
        "SUCCESS with `id`, `seq`, `prev`, `chatId` or `groupId`, and the new `version`.",
        "MESSAGE_EDITED",
        {
            **_NOT_IN_IT,
            **_BLOCKED,
            **_NO_SUCH_MESSAGE,
            ErrorCode.VERSION_CONFLICT: "`version` is not the message's: it was edited meanwhile",
            ErrorCode.TOO_LARGE: "`content` is over its limit",
        },
    ),
    requests.DeleteMessage: RequestProse(
        "Delete a message, by its author or by an admin of the group: anybody else is FORBIDDEN. "
        f"{_ONE_OF_TWO}",
        "SUCCESS with `id`, `seq`, `prev`, and `chatId` or `groupId`. If it was deleted before, "
        "`duplicate` is true and `seq` is that of the first time.",
        "MESSAGE_DELETED",
        {
            **_NOT_IN_IT,
            ErrorCode.NO_SUCH_MESSAGE: "no such message, or the caller may not see it",
        },
    ),
    requests.React: RequestProse(
        "React to a message with an emoji, or take that back with `remove`. More than one emoji, "
        f"or none, is INVALID_FIELD. {_ONE_OF_TWO}",
        "SUCCESS with `id`, `seq`, `prev`, and `chatId` or `groupId`. If there is nothing to do, "
        "`duplicate` is true and there is no event.",
        "REACTION",
        {
            **_NOT_IN_IT,
            **_BLOCKED,
            **_NO_SUCH_MESSAGE,
            ErrorCode.TOO_LARGE: "the message has as many reactions as it may have",
        },
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
    pushes.GroupUpdated: f"An admin does this with `PATCH /api/conversations/{{id}}`. {_STORED}",
    pushes.RoleChanged: "An admin gave a member another role, with "
    f"`PATCH /api/conversations/{{id}}/members/{{username}}`. {_STORED}",
    pushes.MessageEdited: _STORED,
    pushes.MessageDeleted: f"Somebody deleted a message. {_STORED}",
    pushes.Reaction: f"Somebody reacted to a message, or took that back. {_STORED}",
    pushes.DeliveryReceipt: "Who has received a message; see [Receipts](#receipts).",
    pushes.ReadReceipt: "Who has read a message; see [Receipts](#receipts).",
    pushes.Typing: "Somebody types, or has stopped; see [Typing](#typing).",
    pushes.Resync: "`afterSeq` is 0 after a RESUME from above the head too: what the client keeps "
    "of the conversation does not hold then. See [Resuming](#resuming) and "
    "[Slow readers](#slow-readers).",
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
