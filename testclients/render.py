"""Frames as lines of text. Pure: the time and the time zone are arguments.

Rule of this file: what a server or another user wrote goes through `plain`, so that no message can
move the cursor, look like somebody else's line or set the window's title.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from protocol import encode
from protocol.model import ChatSummary, GroupSummary, HistoryMessage, PresenceStatus
from protocol.pushes import (
    Error,
    GroupChat,
    GroupCreated,
    GroupMemberJoined,
    GroupMemberLeft,
    NewOneToOneChat,
    OneToOneChat,
    PresenceUpdate,
    ServerFrame,
    Success,
)
from testclients.conversations import Conversation, Direct, is_message_of

CONTINUATION: Final = "\n    | "
"""What stands for a line break inside a message."""

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
    return spoken(item.from_, item.content, item.sent_at, now_ms, view)


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
        case Error():
            return f"! {frame.code}: {plain(frame.msg)}"
        case _:
            return f"* {plain(as_json(frame))}"


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


def _group(group_id: str, view: View) -> str:
    return plain(view.group_names.get(group_id, group_id))


def _chat_presence(chat: ChatSummary, now_ms: int, view: View) -> str:
    status = PresenceStatus.ONLINE if chat.is_online else PresenceStatus.OFFLINE
    return presence(status, chat.last_seen, now_ms, view)
