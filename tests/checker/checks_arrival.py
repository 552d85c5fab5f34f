"""Where the server begins with a connection, and whether it answers."""

from collections.abc import Iterator
from typing import Final

from protocol import pushes, requests
from protocol.close import CloseCode
from protocol.errors import ErrorCode
from protocol.pushes import Success
from tests.checker.anomaly import Anomaly, Kind
from tests.checker.history import POSTGRES
from tests.checker.story import Answer, Heard, Line, Story, place_of

_MAY_ALWAYS_BE: Final = frozenset({ErrorCode.UNAVAILABLE, ErrorCode.RATE_LIMITED})
"""The outcome is unknown, or it is to be asked again later."""

_NO_ACCOUNTS: Final = "HTTP 503"
"""Nobody can be let in while nobody can be asked who it is."""

_NOBODY_DOES: Final = frozenset(
    {
        CloseCode.PROTOCOL_ERROR,
        CloseCode.NOT_UTF8,
        CloseCode.TOO_BIG,
        CloseCode.FLOODING,
        CloseCode.TOKEN_EXPIRED,
        CloseCode.TOKEN_REVOKED,
        CloseCode.PROTOCOL_ABUSE,
    }
)
"""INTERNAL_ERROR is not among them: a backend may have failed; a bug is in the server's log."""


def check_arrival(story: Story) -> Iterator[Anomaly]:
    for number, problem in story.garbled:
        yield Anomaly(Kind.GARBLED, problem, (number,))
    for number, line, problem in story.shut_out:
        if problem != _NO_ACCOUNTS or not story.was_lost(POSTGRES, line.began, number):
            yield Anomaly(Kind.SHUT_OUT, problem, (number,))
    for line in story.lines.values():
        for record, resync in line.resyncs:
            if resync.after_seq == 0 and line.resumed(place_of(resync)):
                words = f"{line.device} had been told of more than {place_of(resync)} holds"
                yield Anomaly(Kind.FORGOTTEN, words, (record,))
        for conversation, told in line.told.items():
            if line.resumes:
                yield from _before_resume(story, line, conversation, told)
            else:
                yield from _skipped(story, line, conversation, told)
        if line.ended is not None and line.code in _NOBODY_DOES:
            words = f"connection {line.number} was closed with {line.code}"
            yield Anomaly(Kind.CLOSED_WRONGLY, words, (line.ended,))
        yield from _unanswered(story, line)
        yield from _refusals(story, line)


def _before_resume(
    story: Story, line: Line, conversation: str, told: list[Heard]
) -> Iterator[Anomaly]:
    resumed = line.resumed(conversation)
    asked, position = resumed[0] if resumed else (None, 0)
    for heard in told:
        if (asked is None or heard.record < asked) and not _came_later(
            story, line, conversation, heard
        ):
            words = f"{conversation}/{heard.seq} came on connection {line.number}, unasked"
            yield Anomaly(Kind.BEFORE_RESUME, words, (line.began, heard.record))
        elif heard.seq <= position:
            assert asked is not None
            words = f"{conversation}/{heard.seq} came though {line.device} has {position}"
            yield Anomaly(Kind.BELOW_POSITION, words, (asked, heard.record))


def _came_later(story: Story, line: Line, conversation: str, heard: Heard) -> bool:
    """Whether the conversation, or the user's place in it, is newer than the connection."""
    if story.first_record[conversation] > line.began:
        return True
    for interval in story.intervals(conversation, line.user):
        if interval.has(heard.seq) and interval.first > 1:
            began = [each.record for each in line.told[conversation] if each.seq == interval.first]
            own = line.own.get(conversation, {}).get(interval.first)
            return bool(began) or own is not None
    return False


def _skipped(story: Story, line: Line, conversation: str, told: list[Heard]) -> Iterator[Anomaly]:
    """What the server did not begin with had come to the user before: to this device or another,
    or it was the user's own."""
    resumed = line.resumed(conversation)
    first = told[0]
    if resumed and resumed[0][0] < first.record:
        return
    log = story.log.get(conversation, {})
    for interval in story.intervals(conversation, line.user):
        if interval.has(first.seq):
            break
    else:
        return
    if first.seq == interval.last:
        # One who is removed is told so at once, whatever else was on its way to it.
        return
    due = set(range(interval.first, first.seq))
    due -= line.own.get(conversation, {}).keys()
    due -= {seq for seq in due if seq in log and _author(log[seq]) == line.user}
    for other in story.lines_of(line.user):
        if due and other.began < first.record and other is not line:
            due -= {heard.seq for heard in other.told.get(conversation, ())}
            due -= other.own.get(conversation, {}).keys()
    if due:
        words = (
            f"{conversation}: connection {line.number} of {line.device} began with {first.seq},"
            f" and {line.user} was never told {min(due)}"
        )
        yield Anomaly(Kind.SKIPPED, words, (line.began, first.record))


def _author(frame: object) -> str | None:
    return getattr(frame, "from_", None) or getattr(frame, "by", None)


def _unanswered(story: Story, line: Line) -> Iterator[Anomaly]:
    for stray in line.strays:
        if _refuses_a_cursor(story, line, stray):
            continue
        words = f"connection {line.number} was answered what it did not ask: {stray.reply}"
        yield Anomaly(Kind.UNANSWERED, words, (stray.record,))
    for record, overdue in line.overdue:
        words = f"{len(overdue)} requests on connection {line.number} are not answered"
        yield Anomaly(Kind.UNANSWERED, words, (overdue[0], record))
    if line.settled is None:
        return
    for record, request in line.asked.items():
        if record < line.settled[0] and request.ref is not None and record not in line.answers:
            words = f"{type(request).__name__} on connection {line.number} has no answer"
            yield Anomaly(Kind.UNANSWERED, words, (record, line.settled[0]))


def _refuses_a_cursor(story: Story, line: Line, stray: Answer) -> bool:
    """Whether it is for an ACK or MARK_READ that had no `ref`, by one who perhaps had left, or
    whose cursor could not be stored."""
    if not isinstance(stray.reply, pushes.Error) or stray.reply.ref is not None:
        return False
    code = stray.reply.code
    return any(
        code is ErrorCode.UNAVAILABLE
        or (code is ErrorCode.NOT_A_MEMBER and not story.always_in(place_of(request), line.user))
        for asked, request in line.asked.items()
        if asked < stray.record
        and request.ref is None
        and isinstance(request, requests.Ack | requests.MarkRead)
    )


def _refusals(story: Story, line: Line) -> Iterator[Anomaly]:
    for asked, answer in line.answers.items():
        request, reply = line.asked[asked], answer.reply
        if isinstance(reply, pushes.Error):
            wrong = _not_so(story, line, asked, reply.code)
            if wrong is not None:
                words = f"{type(request).__name__} of {line.user}: {reply.code}, but {wrong}"
                yield Anomaly(Kind.WRONGLY_REFUSED, words, (asked, answer.record))
        elif isinstance(reply, Success):
            for conversation, code in (reply.errors or {}).items():
                was_there = story.first_record.get(conversation, asked) < asked
                if was_there and story.always_in(conversation, line.user):
                    words = f"RESUME of {line.user} in {conversation}: {code}"
                    yield Anomaly(Kind.WRONGLY_REFUSED, words, (asked, answer.record))


def _not_so(story: Story, line: Line, asked: int, code: ErrorCode) -> str | None:
    """Why a refusal cannot be right; None when it can."""
    if code in _MAY_ALWAYS_BE:
        return None
    request = line.asked[asked]
    conversation = place_of(request)
    intervals = story.intervals(conversation, line.user)
    is_guest = bool(intervals) and not story.always_in(conversation, line.user)
    match code, request:
        case ErrorCode.NOT_A_MEMBER, _ if is_guest:
            return None
        case ErrorCode.NOT_A_MEMBER, requests.InConversation() | requests.History():
            # A direct conversation is there from its first message on.
            was_there = story.first_record.get(conversation, asked) < asked
            return "the user always was one" if was_there and intervals else None
        case ErrorCode.ALREADY_A_MEMBER, requests.JoinGroup():
            return None
        case ErrorCode.NO_SUCH_MESSAGE, requests.EditMessage() | requests.React():
            is_gone = is_guest or request.id in story.deleted
            return None if is_gone else "the message is there"
        case ErrorCode.NO_SUCH_MESSAGE, requests.DeleteMessage():
            return None if is_guest else "the message is there"
        case ErrorCode.VERSION_CONFLICT, requests.EditMessage():
            return None if request.version is not None else "no version was given"
        case _:
            return "nothing allows it"
