"""Delivered and read cursors, as answers, summaries and receipts show them.

What is shown never goes back, on whichever node. Receipts are no events: one that another node
tells may overtake one that came before it, and clients keep the highest. So nothing is asked of the
order of the receipts of a user who was on another node than the connection that is told of them.
"""

from collections.abc import Iterator
from typing import NamedTuple

from protocol import pushes, requests
from protocol.pushes import Success
from tests.checker.anomaly import Anomaly, Kind
from tests.checker.history import POSTGRES
from tests.checker.story import Life, Line, Story, place_of, summaries


class _Key(NamedTuple):
    conversation: str
    user: str
    is_read: bool


class _Shown(NamedTuple):
    """A reply shows a cursor; it was asked for at `asked` and came at `answered`."""

    key: _Key
    seq: int
    asked: int
    answered: int
    life: Life
    """Of the node that answered."""


class _Claim(NamedTuple):
    """From this record on a cursor is not below `seq`."""

    key: _Key
    seq: int
    record: int
    life: Life | None
    """The life of a node in which it holds there; None when it is stored."""


def check_cursors(story: Story) -> Iterator[Anomaly]:
    shown = [one for line in story.lines.values() for one in _shown(story, line)]
    yield from _order(story, shown)
    claims = [claim for line in story.lines.values() for claim in _acked(line)]
    claims += [claim for line in story.lines.values() for claim in _received(line)]
    claims += [
        # A delivered cursor that no ACK moved is shown before it is stored: a kill may undo it.
        _Claim(one.key, one.seq, one.answered, None if one.key.is_read else one.life)
        for one in shown
    ]
    yield from _back(story, shown, claims)
    for line in story.lines.values():
        yield from _receipts(story, line)


def _back(story: Story, shown: list[_Shown], claims: list[_Claim]) -> Iterator[Anomaly]:
    """No reply shows less than what was so when it was asked for."""
    by_key: dict[_Key, list[_Claim]] = {}
    for claim in sorted(claims, key=lambda claim: claim.record):
        by_key.setdefault(claim.key, []).append(claim)
    shown_of: dict[_Key, list[_Shown]] = {}
    for one in sorted(shown, key=lambda one: one.asked):
        shown_of.setdefault(one.key, []).append(one)
    for key, of_key in by_key.items():
        tops: dict[Life | None, _Claim] = {}
        at = 0
        for one in shown_of.get(key, ()):
            while at < len(of_key) and of_key[at].record < one.asked:
                claim = of_key[at]
                if claim.life not in tops or tops[claim.life].seq < claim.seq:
                    tops[claim.life] = claim
                at += 1
            for top in (tops.get(None), tops.get(one.life)):
                if top is not None and one.seq < top.seq:
                    words = f"{_name(key)} was {top.seq}, and is shown as {one.seq}"
                    shown_by = (top.record, one.asked, one.answered)
                    yield Anomaly(Kind.CURSOR_WENT_BACK, words, shown_by)


def _acked(line: Line) -> Iterator[_Claim]:
    for asked, answer in line.answers.items():
        request = line.asked[asked]
        if isinstance(answer.reply, Success) and isinstance(
            request, requests.Ack | requests.MarkRead
        ):
            conversation = place_of(request)
            key = _Key(conversation, line.user, False)
            yield _Claim(key, request.seq, answer.record, None)
            if isinstance(request, requests.MarkRead):
                yield _Claim(key._replace(is_read=True), request.seq, answer.record, None)


def _received(line: Line) -> Iterator[_Claim]:
    for record, receipt in line.receipts:
        is_read = isinstance(receipt, pushes.ReadReceipt)
        yield _Claim(_Key(place_of(receipt), receipt.username, is_read), receipt.seq, record, None)


def _shown(story: Story, line: Line) -> Iterator[_Shown]:
    for asked, answer in line.answers.items():
        # The message store alone has no cursors.
        if not story.was_lost(POSTGRES, asked, answer.record):
            for key, seq in _cursors(line.user, answer.reply):
                yield _Shown(key, seq, asked, answer.record, story.life(line))


def _cursors(user: str, reply: object) -> Iterator[tuple[_Key, int]]:
    match reply:
        case pushes.InitData():
            for each in summaries(reply):
                yield _Key(place_of(each), user, False), each.delivered_seq
                yield _Key(place_of(each), user, True), each.read_seq
        case pushes.OneToOneChatHistory():
            peer = next(name for name in reply.chat_id.split("-") if name != user)
            yield _Key(reply.chat_id, peer, False), reply.peer_delivered_seq
            yield _Key(reply.chat_id, peer, True), reply.peer_read_seq


def _order(story: Story, shown: list[_Shown]) -> Iterator[Anomaly]:
    """Read is not above delivered, in one reply."""
    delivered: dict[tuple[int, _Key], int] = {
        (one.answered, one.key): one.seq for one in shown if not one.key.is_read
    }
    for one in shown:
        if one.key.is_read:
            limit = delivered[one.answered, one.key._replace(is_read=False)]
            if one.seq > limit:
                words = f"{_name(one.key)} is {one.seq}, delivered {limit}"
                yield Anomaly(Kind.CURSOR_UNTRUE, words, (one.asked, one.answered))
        head = story.heads.get(one.key.conversation)
        if head is not None and one.seq > head:
            words = f"{_name(one.key)} is {one.seq}, the head {head}"
            yield Anomaly(Kind.CURSOR_UNTRUE, words, (one.asked, one.answered))


def _receipts(story: Story, line: Line) -> Iterator[Anomaly]:
    """On one connection the receipts of a user go forward, if one node tells them all."""
    last: dict[_Key, tuple[int, int]] = {}
    for record, receipt in line.receipts:
        key = _Key(place_of(receipt), receipt.username, isinstance(receipt, pushes.ReadReceipt))
        before = last.get(key, (0, 0))
        if not _is_told_here(story, line, receipt.username, record):
            pass
        elif receipt.seq <= before[0]:
            words = f"{_name(key)} was told as {before[0]}, then as {receipt.seq}"
            yield Anomaly(Kind.CURSOR_WENT_BACK, words, (before[1], record))
        else:
            last[key] = receipt.seq, record
        head = story.heads.get(key.conversation)
        if head is not None and receipt.seq > head:
            words = f"{_name(key)} was told as {receipt.seq}, the head is {head}"
            yield Anomaly(Kind.CURSOR_UNTRUE, words, (record,))


def _is_told_here(story: Story, line: Line, username: str, record: int) -> bool:
    """Whether everything that a user did until this record came to the connection's node."""
    return all(
        other.node == line.node for other in story.lines_of(username) if other.began < record
    )


def _name(key: _Key) -> str:
    kind = "read" if key.is_read else "delivered"
    return f"{kind} cursor of {key.user} in {key.conversation}"
