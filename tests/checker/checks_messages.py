"""Histories against the events, and what deleted messages said.

While the ledger is away histories come from the message store alone, which may have a change
before what was said just before it: such a page may be a moment old, and know more of its messages
than its `headSeq` tells. The events after it make the same of them.
"""

import bisect
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from protocol import pushes, requests
from protocol.model import HistoryMessage
from protocol.pushes import Success
from tests.checker.anomaly import Anomaly, Kind
from tests.checker.fold import Fold
from tests.checker.history import POSTGRES
from tests.checker.story import Line, Page, Story, place_of, summaries


class _PageAnswer(NamedTuple):
    line: Line
    asked: int
    request: requests.History
    answered: int
    page: Page


def check_messages(story: Story) -> Iterator[Anomaly]:
    answers: dict[str, list[_PageAnswer]] = {}
    for line in story.lines.values():
        for asked, answer in line.answers.items():
            request, page = line.asked[asked], answer.reply
            if isinstance(request, requests.History) and isinstance(page, Page):
                found = _PageAnswer(line, asked, request, answer.record, page)
                answers.setdefault(place_of(page), []).append(found)
    yield from _stale(story)
    contents = _contents(story)
    for conversation, of_it in answers.items():
        yield from _states(story, conversation, of_it, Fold(contents.get(conversation, {})))
    yield from _deleted(story)


def _states(
    story: Story, conversation: str, answers: list[_PageAnswer], fold: Fold
) -> Iterator[Anomaly]:
    """Every page shows the messages as the events up to its head make them."""
    log = sorted(story.log.get(conversation, {}).items())
    at = 0
    for answer in sorted(answers, key=lambda answer: answer.page.head_seq):
        while at < len(log) and log[at][0] <= answer.page.head_seq:
            fold.apply(log[at][1])
            at += 1
        problem = _differs(story, conversation, answer, fold)
        if problem is not None:
            words = f"{conversation} at head {answer.page.head_seq}: {problem}"
            yield Anomaly(Kind.STATE_DIFFERS, words, (answer.asked, answer.answered))


def _differs(story: Story, conversation: str, answer: _PageAnswer, fold: Fold) -> str | None:
    request, page = answer.request, answer.page
    after, before = request.after or 0, request.before or page.head_seq + 1
    due = [message for message in fold.messages.values() if after < message.seq < before]
    if len(page.messages) > request.limit:
        return f"{len(page.messages)} messages on a page of {request.limit}"
    if request.after is None:
        due_here = due[len(due) - len(page.messages) :]
    else:
        due_here = due[: len(page.messages)]
    is_whole = len(page.messages) == len(due)
    if story.always_in(conversation, answer.line.user):
        if is_whole is page.has_more or (due and not page.messages):
            return f"{len(page.messages)} of {len(due)} messages, and hasMore is {page.has_more}"
    elif page.messages:
        # Where its part of the conversation begins depends on the moment.
        first = page.messages[0].seq
        due_here = [message for message in due if message.seq >= first][: len(page.messages)]
    for shown, expected in zip(page.messages, due_here, strict=False):
        if story.was_lost(POSTGRES, answer.asked, answer.answered):
            shown, expected = _as_posted(shown), _as_posted(expected)
        elif expected.id in fold.unknown:
            shown = msgspec.structs.replace(shown, content="")
        if shown != expected:
            return f"{_short(shown)} is shown, the events make {_short(expected)}"
    if len(due_here) != len(page.messages):
        return f"{len(page.messages)} messages are shown, the events make {len(due_here)}"
    return None


def _as_posted(message: HistoryMessage) -> HistoryMessage:
    """The message without what may become of it."""
    return msgspec.structs.replace(
        message,
        content="",
        version=1,
        edited_at=None,
        edited_by=None,
        mentions=None,
        reactions=None,
        deleted=False,
    )


def _contents(story: Story) -> dict[str, dict[int, str]]:
    """What the posts and edits said, by conversation and number, from whoever sent or heard them
    before a delete."""
    contents: dict[str, dict[int, str]] = {name: {} for name in story.log}
    for line in story.lines.values():
        for conversation, told in line.told.items():
            said = contents.setdefault(conversation, {})
            for _, frame in told:
                if isinstance(frame, pushes.MessageEdited) and frame.content:
                    said[frame.seq] = frame.content
        for asked, answer in line.answers.items():
            request, reply = line.asked[asked], answer.reply
            if isinstance(request, requests.EditMessage) and isinstance(reply, Success):
                contents.setdefault(place_of(reply), {})[reply.seq or 0] = request.content
    for conversation, log in story.log.items():
        for seq, event in log.items():
            if isinstance(event, pushes.OneToOneChat | pushes.GroupChat):
                post = story.posts.get((event.from_, event.client_msg_id or ""))
                if post is not None:
                    contents[conversation][seq] = post.request.content
    return contents


def _short(message: HistoryMessage) -> str:
    return repr(msgspec.structs.replace(message, content=message.content[:60]))


def _stale(story: Story) -> Iterator[Anomaly]:
    """Whoever asks after an ack or an event came sees it."""
    known: dict[str, list[tuple[int, int]]] = {}
    for line in story.lines.values():
        for conversation, told in line.told.items():
            known.setdefault(conversation, []).extend((heard.record, heard.seq) for heard in told)
        for conversation, own in line.own.items():
            known.setdefault(conversation, []).extend((at, seq) for seq, at in own.items())
    tops = {conversation: _tops(points) for conversation, points in known.items()}
    for line in story.lines.values():
        for asked, answer in line.answers.items():
            if story.was_lost(POSTGRES, asked, answer.record):
                continue
            for conversation, head in _heads(answer.reply):
                seen, record = _top_before(tops.get(conversation, ()), asked)
                if seen > head:
                    words = f"{conversation} is shown up to {head}, and {seen} was known before"
                    yield Anomaly(Kind.STALE, words, (record, asked, answer.record))


def _heads(reply: object) -> list[tuple[str, int]]:
    match reply:
        case pushes.OneToOneChatHistory() | pushes.GroupChatHistory():
            return [(place_of(reply), reply.head_seq)]
        case pushes.InitData():
            return [(place_of(each), each.last_seq) for each in summaries(reply)]
        case _:
            return []


def _tops(points: list[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    """By record, where the highest number so far grew."""
    tops: list[tuple[int, int]] = []
    for record, seq in sorted(points):
        if not tops or seq > tops[-1][1]:
            tops.append((record, seq))
    return tops


def _top_before(tops: Sequence[tuple[int, int]], record: int) -> tuple[int, int]:
    at = bisect.bisect_left(tops, (record, 0)) - 1
    return (tops[at][1], tops[at][0]) if at >= 0 else (0, 0)


def _deleted(story: Story) -> Iterator[Anomaly]:
    for line in story.lines.values():
        for told in line.told.values():
            for record, frame in told:
                if not isinstance(
                    frame, pushes.OneToOneChat | pushes.GroupChat | pushes.MessageEdited
                ):
                    continue
                # Another node may not have heard of it yet.
                end = story.deleted.get(frame.id, {}).get(line.node)
                if frame.content and end is not None and end < line.began:
                    words = f"{place_of(frame)}/{frame.seq} was told with its content"
                    yield Anomaly(Kind.DELETED_TOLD, words, (end, line.began, record))
