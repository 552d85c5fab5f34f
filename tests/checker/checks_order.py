"""What one connection is told of one conversation: in order, once, nothing left out.

A connection that came without `?resume=1` and asks by RESUME for older events gets them beside the
newer ones: each stream is in order. Where the server begins by itself is its delivered cursor's
business, see `checks_arrival`.
"""

from collections.abc import Iterator

from protocol import pushes
from tests.checker.anomaly import Anomaly, Kind
from tests.checker.story import Heard, Interval, Line, Story

_MEMBERSHIP = pushes.GroupMemberJoined | pushes.GroupMemberLeft


def check_order(story: Story) -> Iterator[Anomaly]:
    for line in story.lines.values():
        for conversation, told in line.told.items():
            yield from _repeats(line, conversation, told)
            yield from _disorder(line, conversation, told)
            yield from _not_entitled(story, line, conversation, told)
        for conversation in line.told.keys() | _owed(line):
            yield from _gaps(story, line, conversation)


def _repeats(line: Line, conversation: str, told: list[Heard]) -> Iterator[Anomaly]:
    first: dict[int, int] = {}
    own = line.own.get(conversation, {})
    for record, frame in told:
        before = first.setdefault(frame.seq, record)
        if before != record:
            words = f"{conversation}/{frame.seq} came twice on connection {line.number}"
            yield Anomaly(Kind.TOLD_TWICE, words, (before, record))
        if frame.seq in own and not isinstance(frame, _MEMBERSHIP):
            words = (
                f"{conversation}/{frame.seq} came on connection {line.number},"
                " which caused it and has its ack"
            )
            yield Anomaly(Kind.TOLD_TWICE, words, (own[frame.seq], record))


def _disorder(line: Line, conversation: str, told: list[Heard]) -> Iterator[Anomaly]:
    resumes = 0 if line.resumes else len(line.resumed(conversation))
    ends: list[Heard] = []
    """The last events of the streams, each of which goes up."""
    for heard in told:
        below = [number for number, end in enumerate(ends) if end.seq <= heard.seq]
        if below:
            ends[max(below, key=lambda number: ends[number].seq)] = heard
        elif len(ends) <= resumes:
            ends.append(heard)
        else:
            earlier = min(ends, key=lambda end: end.seq)
            words = (
                f"{conversation}/{heard.seq} came after {earlier.seq} on connection {line.number}"
            )
            yield Anomaly(Kind.OUT_OF_ORDER, words, (earlier.record, heard.record))


def _not_entitled(
    story: Story, line: Line, conversation: str, told: list[Heard]
) -> Iterator[Anomaly]:
    if conversation not in story.members:
        return
    intervals = story.intervals(conversation, line.user)
    for record, frame in told:
        if not any(interval.has(frame.seq) for interval in intervals):
            words = f"{line.user} was told {conversation}/{frame.seq} and is in it {intervals}"
            yield Anomaly(Kind.NOT_ENTITLED, words, (record,))


def _gaps(story: Story, line: Line, conversation: str) -> Iterator[Anomaly]:
    """What the connection should have been told and was not."""
    told = line.told.get(conversation, [])
    have = {heard.seq for heard in told} | line.own.get(conversation, {}).keys()
    head = _owed(line).get(conversation)
    for interval in story.intervals(conversation, line.user):
        within = [heard for heard in told if interval.has(heard.seq)]
        first = _first_due(line, conversation, interval, within)
        if first is None:
            continue
        # One who is removed is told so at once, whatever else is on its way to it.
        last = max((heard.seq for heard in within if heard.seq != interval.last), default=0)
        missing = [seq for seq in range(first, last) if seq not in have]
        if missing:
            above = next(heard.record for heard in within if heard.seq > missing[0])
            words = (
                f"{conversation}/{_runs(missing)} left out on connection {line.number}"
                f" of {line.device}, which was told up to {last}"
            )
            yield Anomaly(Kind.GAP, words, (line.began, above))
        if head is not None and interval.last is None:
            assert line.settled is not None
            lacking = [seq for seq in range(max(first, last + 1), head + 1) if seq not in have]
            if lacking:
                words = (
                    f"{conversation}/{_runs(lacking)} never came to connection {line.number}"
                    f" of {line.device}; the head was {head}"
                )
                yield Anomaly(Kind.MISSING, words, (line.began, line.settled[0]))


def _owed(line: Line) -> dict[str, int]:
    """The heads up to which a connection at rest should have everything: where it asked."""
    if line.settled is None:
        return {}
    return {
        conversation: head
        for conversation, head in line.settled[1].items()
        if any(line.served(record, conversation) for record, _ in line.resumed(conversation))
    }


def _first_due(
    line: Line, conversation: str, interval: Interval, within: list[Heard]
) -> int | None:
    """The first number of the interval that the connection had to be told; None when it
    cannot be known. What a RESUME said that the device has need not be told any more."""
    resumed = line.resumed(conversation)
    if not resumed:
        return min((heard.seq for heard in within), default=None)
    if line.resumes:
        return max(interval.first, 1 + max(position for _, position in resumed))
    served = [at for at, (record, _) in enumerate(resumed) if line.served(record, conversation)]
    if served and interval.last is None:
        return max(interval.first, 1 + max(position for _, position in resumed[served[-1] :]))
    # Some of the older events may have come, or could not be asked for any more: what came before
    # RESUME is of the newer ones.
    before = [heard.seq for heard in within if heard.record < resumed[0][0]]
    return max(min(before), 1 + max(position for _, position in resumed)) if before else None


def _runs(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return str(numbers[0])
    return f"{numbers[0]}..{numbers[-1]} ({len(numbers)} events)"
