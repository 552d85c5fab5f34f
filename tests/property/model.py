"""What connections should be sent of conversations, from plain lists of what happened.

The claims: a connection is sent each event that it lacks exactly once; in order, but for those that
a RESUME below its start asked for, which are in order among themselves; none that it posted itself,
nothing that was not stored, nothing before a RESUME where it said that it would resume, nothing
above its removal.
"""

import asyncio
from typing import Any, Final, NamedTuple

from chatd.delivery.room import Room
from chatd.events import EventKind
from protocol.pushes import Success
from tests.support.builders import Reader

CONVERSATIONS: Final = ("7", "alice-bob", "alice-carol", "bob-carol")
_TYPES: Final = {
    EventKind.DIRECT_MESSAGE: "ONE_TO_ONE_CHAT",
    EventKind.GROUP_MESSAGE: "GROUP_CHAT",
    EventKind.GROUP_CREATED: "GROUP_CREATED",
    EventKind.MEMBER_JOINED: "GROUP_MEMBER_JOINED",
    EventKind.MEMBER_LEFT: "GROUP_MEMBER_LEFT",
}


class Logged(NamedTuple):
    """One event as the model keeps it."""

    kind: EventKind
    sender: str
    origin: Reader | None
    about: str
    """Who joined or left, or what was said."""


class Period:
    """A stretch of time in which a connection belongs to a conversation."""

    def __init__(self, start: int, began: int, *, is_held: bool = False) -> None:
        self.start = start
        self.began = began
        """The head when it began: what is up to it is no removal from it."""
        self.is_held = is_held
        """No RESUME has named it yet."""
        self.end: int | None = None
        """Nothing above it may be sent."""
        self.removal: int | None = None
        """The event that ended it."""
        self.owes_all = True
        """Whether it was live when it ended: then everything up to `end` was sent."""
        self.fills: list[tuple[int, int]] = []
        """What RESUMEs asked for below what it had: above the one number, up to the other."""
        self.asked_at: int | None = None
        """How far it had got when a RESUME came first."""
        self.skips: list[tuple[int, int]] = []
        """What it said in a RESUME that it has, before that was sent: not sent by itself."""
        self.promised: int | None = None
        """The lowest position of a RESUME: everything above it comes, or came before."""

    def is_skipped(self, seq: int) -> bool:
        return any(after < seq <= up_to for after, up_to in self.skips)

    def fill_of(self, seq: int) -> tuple[int, int] | None:
        return next((fill for fill in self.fills if fill[0] < seq <= fill[1]), None)


class Watched:
    """A connection with what it should be sent."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.username = reader.outbox.principal.username
        self.periods: dict[str, list[Period]] = {name: [] for name in CONVERSATIONS}
        self.claimed: dict[str, int] = dict.fromkeys(CONVERSATIONS, 0)
        """What it said in RESUMEs that it has."""
        self.is_slow = False
        self.resuming: asyncio.Task[Success] | None = None

    def current(self, conversation_id: str) -> Period | None:
        periods = self.periods[conversation_id]
        return periods[-1] if periods and periods[-1].end is None else None

    def is_complete(self) -> bool:
        """Whether it should have everything by now."""
        return not self.is_slow and (self.resuming is None or self.resuming.done())


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
    events = [frame for frame in sent if "prev" in frame]
    seqs = [frame["seq"] for frame in events]
    assert len(seqs) == len(set(seqs)), "none twice"
    for frame in events:
        _check_frame(frame, log[frame["seq"] - 1])
    rest = set(seqs)
    outbox = watched.reader.outbox
    for period in watched.periods[conversation_id]:
        top = _top(watched.username, period, log)
        inside = [seq for seq in seqs if period.fill_of(seq) or period.start < seq <= top]
        rest -= set(inside)
        if period.is_held:
            later = [one for one in watched.periods[conversation_id] if one is not period]
            early = [seq for seq in inside if not any(one.fill_of(seq) for one in later)]
            assert not early, "nothing before a RESUME"
            continue
        is_live = period.end is None and room is not None and outbox in room.live
        if period.end is None and watched.is_complete() and not is_gone:
            assert is_live, "who keeps up is live"
        owes_all = period.owes_all if period.end is not None else is_live
        if period.removal is not None and not owes_all:
            # Who is behind when it is removed is told of that at once, also when a RESUME said
            # that it has more already.
            inside = [seq for seq in inside if seq != period.removal]
            rest.discard(period.removal)
        reach = top if period.end is not None or room is None else min(top, room.released or 0)
        main = _Segment(watched, log, period, top, None)
        main.check(inside, reach, is_whole=owes_all and not is_gone)
        for fill in period.fills:
            segment = _Segment(watched, log, period, top, fill)
            segment.check(inside, reach, is_whole=is_live and watched.is_complete() and not is_gone)
        if period.promised is not None and is_live and watched.is_complete() and not is_gone:
            asked = range(period.promised + 1, reach + 1)
            missing = [
                seq
                for seq in asked
                if log[seq - 1].origin is not watched.reader
                # What it later said that it has; what it asked for again is among the fills.
                and not any(after < seq <= up_to for after, up_to in period.skips)
            ]
            assert not set(missing) - set(seqs), "what a RESUME asked for"
        _check_resyncs(sent, period)
    assert not rest, "nothing from before its start or above its removal"


class _Segment:
    """A range of numbers that is sent in order: what comes by itself, or what a RESUME
    asked for besides."""

    def __init__(
        self,
        watched: Watched,
        log: list[Logged],
        period: Period,
        top: int,
        fill: tuple[int, int] | None,
    ) -> None:
        after, up_to = fill or (period.start, top)
        inside = [seq for seq in range(after + 1, up_to + 1) if period.fill_of(seq) == fill]
        own = {seq for seq in inside if log[seq - 1].origin is watched.reader}
        # The user's own before all others may be sent, unless a RESUME asked for them.
        may = set() if fill else _first_own(inside, watched.username, log)
        if period.asked_at is not None:
            may = {seq for seq in may if seq <= period.asked_at}
        skipped = set() if fill else {seq for seq in inside if period.is_skipped(seq)}
        if fill:
            # What it posted before it left and came back may come.
            may = {seq for seq in own if seq < period.began}
        self._inside = set(inside)
        self._may = may - skipped
        self._never = (own - self._may) | skipped
        self._owed = [seq for seq in inside if seq not in self._never and seq not in may]

    def check(self, seqs: list[int], reach: int, *, is_whole: bool) -> None:
        got = [seq for seq in seqs if seq in self._inside]
        assert got == sorted(got), "in order"
        assert not self._never & set(got), "its own"
        counted = [seq for seq in got if seq not in self._may]
        assert counted == self._owed[: len(counted)], "without a gap"
        if is_whole:
            missing = [seq for seq in self._owed[len(counted) :] if seq <= reach]
            assert not missing, "everything that was released"


def _first_own(inside: list[int], username: str, log: list[Logged]) -> set[int]:
    first: set[int] = set()
    for seq in inside:
        if log[seq - 1].sender != username:
            break
        first.add(seq)
    return first


def _check_resyncs(sent: list[dict[str, Any]], period: Period) -> None:
    """A RESYNC stands where it says, among what comes by itself."""
    before = 0
    for at, frame in enumerate(sent):
        if frame["type"] == "RESYNC" and period.start < frame["afterSeq"]:
            assert before <= frame["afterSeq"], "what it says came before it"
            after = [one["seq"] for one in sent[at:] if "prev" in one]
            later = [seq for seq in after if seq > period.start and not period.fill_of(seq)]
            assert all(seq > frame["afterSeq"] for seq in later), "and the rest after it"
        elif "prev" in frame and not period.fill_of(frame["seq"]):
            before = frame["seq"]


def _top(username: str, period: Period, log: list[Logged]) -> int:
    """The last number of a period: the removal, also when it was not released yet."""
    if period.end is not None:
        return period.end
    for seq in range(period.began + 1, len(log) + 1):
        logged = log[seq - 1]
        if logged.kind is EventKind.MEMBER_LEFT and logged.about == username:
            return seq
    return len(log)


def _check_frame(frame: dict[str, Any], logged: Logged) -> None:
    assert frame.get("from", frame.get("by")) == logged.sender
    assert frame["prev"] == frame["seq"] - 1
    assert frame["type"] == _TYPES[logged.kind]
    assert logged.about in (frame.get("content"), frame.get("username"), "")
