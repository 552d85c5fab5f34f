"""chatd.stores.history_merging"""

from collections.abc import Iterable

import pytest

from chatd import ids
from chatd.events import (
    AnyBody,
    DeleteBody,
    EditBody,
    Event,
    EventKind,
    MemberBody,
    MessageBody,
    ReactionBody,
    decode_body,
    encode_body,
)
from chatd.stores.history_merging import (
    Missing,
    blank,
    dense,
    holes,
    merged,
    message_of,
    missing,
    said_in,
)
from chatd.stores.recent_events import Fate


def event(seq: int, kind: EventKind, body: AnyBody, sender: str = "alice") -> Event:
    return Event("7", seq, 99, kind, sender, encode_body(body), 5)


def said(seq: int, content: str = "words", sender: str = "alice") -> Event:
    return event(seq, EventKind.GROUP_MESSAGE, MessageBody(content=content), sender)


def edited(seq: int, target: int, content: str = "other words") -> Event:
    return event(
        seq, EventKind.MESSAGE_EDITED, EditBody(id=ids.message_id("7", target, 1), content=content)
    )


def events(*seqs: int) -> list[Event]:
    return [said(seq) for seq in seqs]


def numbers(found: Iterable[Event]) -> list[int]:
    return [one.seq for one in found]


def content(one: Event | None) -> str:
    assert one is not None
    body = decode_body(one.kind, one.body)
    assert isinstance(body, MessageBody | EditBody)
    return body.content


@pytest.mark.parametrize(
    ("there", "after", "up_to", "limit", "expected"),
    [
        ((1, 2, 3), 0, 3, 9, None),
        ((4, 5), 3, 5, 9, None),
        ((), 5, 5, 9, None),
        ((), 7, 5, 9, None),
        ((), 0, 5, 9, Missing(1, 5)),
        ((4, 5), 0, 5, 9, Missing(1, 3)),
        ((4, 5), 2, 5, 9, Missing(3, 3)),
        ((1, 2), 0, 5, 9, Missing(3, 5)),
        ((1, 4, 5), 0, 5, 9, Missing(2, 3)),
        ((2, 4, 6), 0, 7, 9, Missing(1, 7)),
        # As many as were asked for: what follows is nobody's business.
        ((1, 2), 0, 5, 2, None),
        ((4, 5), 0, 9, 2, Missing(1, 3)),
        ((1, 5), 0, 9, 2, Missing(2, 4)),
    ],
)
def test_a_range_lacks_what_is_not_in_it(
    there: tuple[int, ...], after: int, up_to: int, limit: int, expected: Missing | None
) -> None:
    assert missing(events(*there), after=after, up_to=up_to, limit=limit) == expected


def test_the_lowest_of_both_are_kept_in_order() -> None:
    older, recent = events(3, 1, 4), events(9, 2, 10)
    assert numbers(merged(older, recent, limit=9)) == [1, 2, 3, 4, 9, 10]
    assert numbers(merged(older, recent, limit=5)) == [1, 2, 3, 4, 9]
    assert numbers(merged(older, [], limit=2)) == [1, 3]
    assert merged([], [], limit=2) == []


def test_where_both_have_a_number_the_recent_one_is_kept() -> None:
    (one, two) = merged([said(1, "old"), said(2, "old")], [said(2, "new")], limit=9)
    assert (content(one), content(two)) == ("old", "new")


def test_holes_are_the_numbers_that_should_be_there() -> None:
    assert holes(events(1, 2, 3), after=0, up_to=3, limit=9) == []
    assert holes(events(1, 3), after=0, up_to=5, limit=9) == [2, 4, 5]
    assert holes(events(1, 3), after=0, up_to=5, limit=2) == [2]
    assert holes([], after=3, up_to=5, limit=2) == [4, 5]
    assert holes([], after=5, up_to=5, limit=2) == []


def test_dense_is_what_comes_before_the_first_gap() -> None:
    assert numbers(dense(events(1, 2, 4, 5), after=0)) == [1, 2]
    assert numbers(dense(events(4, 5), after=3)) == [4, 5]
    assert dense(events(4, 5), after=2) == []
    assert dense([], after=2) == []


def test_a_message_is_shown_with_its_fate() -> None:
    plain = message_of(said(1), Fate(), None)
    assert (plain.version, plain.edit, plain.is_deleted, plain.reactions) == (1, None, False, [])
    edit = edited(4, 1)
    fate = Fate(3, 4, edit, reactions=[("👍", "bob")])
    shown = message_of(said(1), fate, None)
    assert (shown.version, shown.edit, shown.reactions) == (3, edit, [("👍", "bob")])
    assert message_of(said(1), Fate(3, 4), edit).edit == edit


def test_an_edit_that_is_not_the_fates_is_not_shown() -> None:
    assert message_of(said(1), Fate(), edited(4, 1)).edit is None
    newest = edited(5, 1)
    assert message_of(said(1), Fate(3, 5, newest), edited(4, 1)).edit == newest


def test_a_deleted_message_says_nothing() -> None:
    for edit, fate in (
        (edited(4, 1), Fate(2, 4, is_deleted=True)),
        (None, Fate(2, 4, edited(4, 1), is_deleted=True)),
    ):
        shown = message_of(said(1), fate, edit)
        assert shown.is_deleted
        assert (content(shown.posted), content(shown.edit)) == ("", "")


def test_what_is_blank_stays_as_it_is() -> None:
    for one in (said(1), edited(4, 1)):
        once = blank(one)
        assert content(once) == "" and (once.seq, once.sender) == (one.seq, one.sender)
        assert blank(once) == once


def test_whose_words_are_in_an_event() -> None:
    about = ids.message_id("7", 3, 1)
    assert said_in(said(8)) == 8
    assert said_in(edited(8, 3)) == 3
    for kind, body in (
        (EventKind.MESSAGE_DELETED, DeleteBody(id=about)),
        (EventKind.REACTION, ReactionBody(id=about, emoji="👍")),
        (EventKind.MEMBER_JOINED, MemberBody("bob")),
    ):
        assert said_in(event(8, kind, body)) is None
