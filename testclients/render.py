"""Frames as lines of text. Pure: the time and the time zone are arguments.

Rule of this file: what a server or another user wrote goes through `plain`, so that no message can
move the cursor, look like somebody else's line or set the window's title.
"""

import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from protocol import encode
from protocol.model import ChatSummary, GroupSummary, HistoryMessage, PresenceStatus, Role
from protocol.pushes import (
    DeliveryReceipt,
    Error,
    GroupChat,
    GroupCreated,
    GroupMemberJoined,
    GroupMemberLeft,
    GroupUpdated,
    MessageDeleted,
    MessageEdited,
    NewOneToOneChat,
    OneToOneChat,
    PresenceUpdate,
    Reaction,
    ReadReceipt,
    RoleChanged,
    ServerFrame,
    Success,
    Typing,
)
from testclients.connection_state import ConnectionState, Phase
from testclients.conversations import Conversation, Direct, is_message_of
from testclients.notices import Gone, LogRenewed, Notice, Rewound
from testclients.outbox import Entry, EntryState

CONTINUATION: Final = "\n    | "
"""What stands for a line break inside a message."""

QUOTED_CHARS: Final = 30

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNSEEN: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Categories: controls, surrogates, breaks of lines and paragraphs."""
_TURNING: Final = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
"""Directional classes: what turns the order of the characters after it round."""


@dataclass(slots=True)
class View:
    """What a line depends on besides its frame."""

    user: str
    """Who looks."""
    here: Conversation | None = None
    """The conversation whose messages need no label."""
    group_names: dict[str, str] = field(default_factory=dict)
    """By group id, as far as known."""
    zone: tzinfo | None = None
    """None is the machine's own."""
    find: Callable[[str], HistoryMessage | None] = lambda id: None
    """A message by its id, as far as known."""


def plain(text: str) -> str:
    """`text` with escapes in place of the characters that act instead of being seen."""
    return "".join(repr(character)[1:-1] if _acts(character) else character for character in text)


def _acts(character: str) -> bool:
    return (
        unicodedata.category(character) in _UNSEEN
        or unicodedata.bidirectional(character) in _TURNING
    )


def moment(at_ms: int, now_ms: int, zone: tzinfo | None = None) -> str:
    """Hours and minutes, with the date in front when it is another day than now."""
    try:
        at = (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone)
    except (OverflowError, ValueError):
        return f"at {at_ms} ms"
    now = (_EPOCH + timedelta(milliseconds=now_ms)).astimezone(zone)
    return at.strftime("%H:%M" if at.date() == now.date() else "%Y-%m-%d %H:%M")


def as_json(frame: ServerFrame) -> str:
    """The frame as one line of JSON: what came, less the fields that this client does not know."""
    return encode(frame).decode()


def spoken(who: str, content: str, at_ms: int, now_ms: int, view: View, label: str = "") -> str:
    """For instance `12:03 bob: hi`."""
    lines = CONTINUATION.join(plain(line) for line in content.split("\n"))
    return f"{moment(at_ms, now_ms, view.zone)} {label}{plain(who)}: {lines}"


def past(item: HistoryMessage, now_ms: int, view: View) -> str:
    """A message of a history, which is always the one of `view.here`."""
    if item.deleted:
        return f"{moment(item.sent_at, now_ms, view.zone)} {plain(item.from_)} (deleted)"
    line = spoken(item.from_, item.content, item.sent_at, now_ms, view)
    if item.edited_at is not None:
        line += f" (edited by {plain(item.edited_by)})" if item.edited_by else " (edited)"
    for emoji, users in (item.reactions or {}).items():
        line += f" [{plain(emoji)} {', '.join(map(plain, users))}]"
    return line


def push(frame: ServerFrame, now_ms: int, view: View) -> str:
    """What a push says.

    A message of another conversation than `view.here` is labelled. What happened while the user was
    away ends with `(offline)`.
    """
    line = _line(frame, now_ms, view)
    return f"{line} (offline)" if getattr(frame, "offline", False) else line


def _line(frame: ServerFrame, now_ms: int, view: View) -> str:
    match frame:
        case OneToOneChat() | GroupChat():
            label = _label(frame, view)
            return spoken(frame.from_, frame.content, frame.sent_at, now_ms, view, label)
        case PresenceUpdate():
            state = presence(frame.status, frame.last_seen, now_ms, view)
            return f"* {plain(frame.username)} is {state}"
        case NewOneToOneChat():
            return f"* {plain(frame.from_)} opened a chat with you"
        case GroupCreated():
            group = f"{plain(frame.name)} (group {plain(frame.group_id)})"
            return f"* {plain(frame.by)} created {group}: {', '.join(map(plain, frame.members))}"
        case GroupMemberJoined():
            return f"* {_member(frame, 'joined', 'added', 'to')} {_group(frame.group_id, view)}"
        case GroupMemberLeft():
            return f"* {_member(frame, 'left', 'removed', 'from')} {_group(frame.group_id, view)}"
        case GroupUpdated():
            return _update(frame, view)
        case RoleChanged():
            role = "an admin" if frame.role is Role.ADMIN else "a member"
            group = _group(frame.group_id, view)
            return f"* {plain(frame.by)} made {plain(frame.username)} {role} of {group}"
        case MessageEdited():
            return (
                f"* {plain(frame.from_)} edited {_quote(frame, view)}: {_one_line(frame.content)}"
            )
        case MessageDeleted():
            return f"* {plain(frame.from_)} deleted {_quote(frame, view)}"
        case Reaction():
            did = "took back" if frame.remove else "reacted"
            return f"* {plain(frame.from_)} {did} {plain(frame.emoji)} to {_quote(frame, view)}"
        case DeliveryReceipt() | ReadReceipt():
            did = "seen by" if isinstance(frame, ReadReceipt) else "delivered to"
            others = f" and {frame.others} others" if frame.others else ""
            return f"* {did} {plain(frame.username)}{others}"
        case Typing():
            does = "is typing" if frame.is_typing else "has stopped typing"
            return f"* {plain(frame.username)} {does}"
        case Error():
            return f"! {frame.code}: {plain(frame.msg)}"
        case _:
            return f"* {plain(as_json(frame))}"


def notice(what: Notice, view: View) -> str:
    """What the client library itself tells."""
    match what:
        case LogRenewed():
            return "* the server was restored from a backup: what is above may be gone"
        case Rewound(conversation):
            return f"* {_group(conversation, view)} begins anew: what is above of it may be gone"
        case Gone(conversation):
            return f"* you are not in {_group(conversation, view)} any more"


def connection(state: ConnectionState) -> str:
    """How it stands with the connection, in a few words; empty while all is well."""
    match state.phase:
        case Phase.CONNECTING:
            return "connecting"
        case Phase.WAITING:
            return f"offline, next try in {math.ceil(state.seconds)} s"
        case Phase.ONLINE | Phase.CLOSED:
            return ""
        case Phase.FAILED:
            return "offline"


def entry(post: Entry) -> str:
    """How it stands with a message that is to be sent."""
    words = _one_line(post.content)
    match post.state:
        case EntryState.SENDING:
            return f"* not sent yet: {words}"
        case EntryState.SENT:
            return f"* sent: {words}"
        case EntryState.FAILED:
            return f"! not sent: {words} ({plain(str(post.error))}); /retry or /drop"


def ack(frame: Success) -> str:
    repeated = " (it was stored before)" if frame.duplicate else ""
    return f"sent: seq {frame.seq}, id {plain(frame.id or '-')}{repeated}"


def presence(status: PresenceStatus, last_seen: int | None, now_ms: int, view: View) -> str:
    """For instance `online` or `offline, last seen 12:03`."""
    if status is PresenceStatus.UNKNOWN:
        return "online or not: unknown"
    seen = "" if last_seen is None else f", last seen {moment(last_seen, now_ms, view.zone)}"
    return status.lower() + ("" if status is PresenceStatus.ONLINE else seen)


def listing(
    chats: Sequence[ChatSummary],
    groups: Sequence[GroupSummary],
    has_more: bool,
    now_ms: int,
    view: View,
) -> list[str]:
    """The numbered list to choose from: chats, then groups, counted through from 1."""
    rows = [(plain(chat.peer), _chat_presence(chat, now_ms, view), chat.unread) for chat in chats]
    rows += [
        (
            plain(group.name),
            f"group {plain(group.group_id)}, {group.member_count} members",
            group.unread,
        )
        for group in groups
    ]
    if not rows:
        return ["no conversations yet: begin one with /to USER or /create NAME user,user"]
    names = max(len(name) for name, _, _ in rows)
    states = max(len(state) for _, state, _ in rows)
    lines = []
    for number, (name, state, unread) in enumerate(rows, start=1):
        count = f"{unread} unread" if unread else ""
        lines.append(f"{number:3}  {name:{names}}  {state:{states}}  {count}".rstrip())
    if has_more:
        lines.append("     ... and older ones")
    return lines


def title(conversation: Conversation) -> str:
    """The name of a conversation."""
    return plain(conversation.peer if isinstance(conversation, Direct) else conversation.name)


def _label(frame: OneToOneChat | GroupChat, view: View) -> str:
    if view.here is not None and is_message_of(frame, view.here):
        return ""
    if isinstance(frame, GroupChat):
        return f"[{_group(frame.group_id, view)}] "
    return f"[direct to {plain(frame.to)}] " if frame.from_ == view.user else "[direct] "


def _member(event: GroupMemberJoined | GroupMemberLeft, itself: str, did: str, where: str) -> str:
    if event.by == event.username:
        return f"{plain(event.username)} {itself}"
    return f"{plain(event.by)} {did} {plain(event.username)} {where}"


def _update(event: GroupUpdated, view: View) -> str:
    changes = []
    if event.name is not None:
        changes.append(f"renamed it to {plain(event.name)}")
    if event.topic is not None:
        changes.append(
            f"set the topic {_one_line(event.topic)}" if event.topic else "took the topic off"
        )
    if event.avatar_url is not None:
        changes.append("changed its picture")
    return f"* {plain(event.by)} {', '.join(changes)} ({_group(event.group_id, view)})"


def _quote(event: MessageEdited | MessageDeleted | Reaction, view: View) -> str:
    message = view.find(event.id)
    if message is None or message.deleted:
        return "a message"
    words = message.content
    if len(words) > QUOTED_CHARS:
        words = words[:QUOTED_CHARS] + "…"
    author = "" if message.from_ == event.from_ else f" of {plain(message.from_)}"
    return f"“{_one_line(words)}”{author}"


def _one_line(text: str) -> str:
    return plain(text.replace("\n", " "))


def _group(group_id: str, view: View) -> str:
    return plain(view.group_names.get(group_id, group_id))


def _chat_presence(chat: ChatSummary, now_ms: int, view: View) -> str:
    status = PresenceStatus.ONLINE if chat.is_online else PresenceStatus.OFFLINE
    return presence(status, chat.last_seen, now_ms, view)
