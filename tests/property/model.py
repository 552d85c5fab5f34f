"""What connections should be sent of conversations, from plain lists of what happened.

The claims: a connection is sent each conversation's events in order, from its start position on,
without gap or duplicate, none that it posted itself, nothing that was not stored, nothing above its
removal.
"""

from typing import Any, Final, NamedTuple

from chatd.delivery.hub import Room
from chatd.events import EventKind
from tests.support.builders import Reader

CONVERSATIONS: Final = ("7", "alice-bob", "alice-carol", "bob-carol")


class Logged(NamedTuple):
    """One event as the model keeps it."""

    kind: EventKind
    sender: str
    origin: Reader | None
    about: str
    """Who joined or left, or what was said."""


class Period:
    """A stretch of time in which a connection belongs to a conversation."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.end: int | None = None
        """The removal: nothing above it may be sent."""
        self.owes_all = True
        """Whether it was live when it ended: then everything up to `end` was sent."""


class Watched:
    """A connection with what it should be sent."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.username = reader.outbox.principal.username
        self.periods: dict[str, list[Period]] = {name: [] for name in CONVERSATIONS}
        self.is_slow = False

    def current(self, conversation_id: str) -> Period | None:
        periods = self.periods[conversation_id]
        return periods[-1] if periods and periods[-1].end is None else None


def check(
    watched: Watched,
    conversation_id: str,
    frames: list[dict[str, Any]],
    log: list[Logged],
    room: Room | None,
    *,
    is_gone: bool,
) -> None:
    """Raises AssertionError: the connection was sent something else than it should be."""
    sent = [
        frame for frame in frames if conversation_id in (frame.get("chatId"), frame.get("groupId"))
    ]
    seqs = [frame["seq"] for frame in sent]
    assert seqs == sorted(set(seqs)), "in order, and none twice"
    for frame in sent:
        _check_frame(frame, log[frame["seq"] - 1])
    allowed: set[int] = set()
    for period in watched.periods[conversation_id]:
        is_open = period.end is None
        top = _top(watched.username, period, log)
        allowed |= set(range(period.start + 1, top + 1))
        got = [seq for seq in seqs if period.start < seq <= top]
        owed, optional = _owed(watched, period.start, top, log)
        assert not [seq for seq in got if log[seq - 1].origin is watched.reader], "its own"
        counted = [seq for seq in got if seq not in optional]
        assert counted == owed[: len(counted)], "without a gap"
        outbox = watched.reader.outbox
        if is_gone:
            continue
        if is_open and room is not None and outbox in room.live:
            assert room.released is not None
            missing = [seq for seq in owed[len(counted) :] if seq <= room.released]
            assert not missing, "who is live has everything that was released"
        if is_open and not watched.is_slow:
            assert room is not None and outbox in room.live, "who keeps up is live"
        if not is_open and period.owes_all:
            assert counted == owed
    assert set(seqs) <= allowed, "nothing from before its start or above its removal"


def _top(username: str, period: Period, log: list[Logged]) -> int:
    """The last number of a period: the removal, also when it was not released yet."""
    if period.end is not None:
        return period.end
    for seq in range(period.start + 1, len(log) + 1):
        logged = log[seq - 1]
        if logged.kind is EventKind.MEMBER_LEFT and logged.about == username:
            return seq
    return len(log)


def _owed(watched: Watched, start: int, top: int, log: list[Logged]) -> tuple[list[int], set[int]]:
    """The numbers that must be sent, and those that may: the user's own before all others."""
    optional: set[int] = set()
    for seq in range(start + 1, top + 1):
        if log[seq - 1].sender != watched.username:
            break
        optional.add(seq)
    return [
        seq
        for seq in range(start + 1, top + 1)
        if seq not in optional and log[seq - 1].origin is not watched.reader
    ], optional


def _check_frame(frame: dict[str, Any], logged: Logged) -> None:
    assert frame.get("from", frame.get("by")) == logged.sender
    assert frame["prev"] == frame["seq"] - 1
    types = {
        EventKind.DIRECT_MESSAGE: "ONE_TO_ONE_CHAT",
        EventKind.GROUP_MESSAGE: "GROUP_CHAT",
        EventKind.GROUP_CREATED: "GROUP_CREATED",
        EventKind.MEMBER_JOINED: "GROUP_MEMBER_JOINED",
        EventKind.MEMBER_LEFT: "GROUP_MEMBER_LEFT",
    }
    assert frame["type"] == types[logged.kind]
