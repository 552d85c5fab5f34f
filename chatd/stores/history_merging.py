"""How the recent events and the message store make one log: the rules, without I/O."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from chatd import ids
from chatd.events import ChangeBody, Event, EventKind, Message, blanked, decode_body
from chatd.stores.recent_events import Fate

_MESSAGES = (EventKind.DIRECT_MESSAGE, EventKind.GROUP_MESSAGE)


class Missing(NamedTuple):
    """The lowest and the highest of the numbers that are not there."""

    first: int
    last: int


def missing(events: Sequence[Event], *, after: int, up_to: int, limit: int) -> Missing | None:
    """What a range lacks of which these are the lowest `limit` events that are there.

    `up_to` is the last number of the range that exists. When there are `limit` events, what is
    above the last of them does not matter.
    """
    first = last = 0
    expected = after + 1
    for event in events:
        if event.seq != expected:
            first, last = first or expected, event.seq - 1
        expected = event.seq + 1
    if len(events) < limit and expected <= up_to:
        first, last = first or expected, up_to
    return Missing(first, last) if first else None


def merged(older: Iterable[Event], recent: Iterable[Event], *, limit: int) -> list[Event]:
    """The lowest `limit` of both, ascending; the recent one where both have a number."""
    by_seq = {event.seq: event for event in older}
    by_seq |= {event.seq: event for event in recent}
    return [by_seq[seq] for seq in sorted(by_seq)[:limit]]


def holes(events: Sequence[Event], *, after: int, up_to: int, limit: int) -> list[int]:
    """The numbers that should be among these events."""
    end = events[-1].seq if len(events) == limit else up_to
    there = {event.seq for event in events}
    return [seq for seq in range(after + 1, end + 1) if seq not in there]


def dense(events: Iterable[Event], *, after: int) -> list[Event]:
    """The events before the first number that is missing."""
    kept: list[Event] = []
    for event in events:
        if event.seq != after + len(kept) + 1:
            break
        kept.append(event)
    return kept


def message_of(posted: Event, fate: Fate, edit: Event | None) -> Message:
    """A message with what became of it; `edit` is its last one where the fate has not got it."""
    if fate.edited_seq is None:
        edit = None
    elif fate.edit is not None:
        edit = fate.edit
    if fate.is_deleted:
        posted = blank(posted)
        edit = None if edit is None else blank(edit)
    return Message(posted, fate.version, edit, fate.is_deleted, list(fate.reactions))


def blank(event: Event) -> Event:
    """A message or an edit without what it said."""
    return msgspec.structs.replace(event, body=blanked(event.kind, event.body))


def said_in(event: Event) -> int | None:
    """The number of the message whose words are in the event: its own, or of an edit the one it is
    about; None when there are none."""
    if event.kind in _MESSAGES:
        return event.seq
    if event.kind is not EventKind.MESSAGE_EDITED:
        return None
    body = decode_body(event.kind, event.body)
    assert isinstance(body, ChangeBody)
    return ids.open_message_id(body.id).seq
