"""A Release is a committed event on its way to connections: what delivery needs to know of it, and
its frame, encoded once for everybody."""

from typing import Final

import msgspec

from chatd.delivery.render import released_push, stored_push
from chatd.events import (
    AnyBody,
    Event,
    EventKind,
    GroupCreatedBody,
    MemberBody,
    MessageBody,
    decode_body,
)
from chatd.stores.ledger import Entry, Outcome
from protocol.codec import encode
from protocol.framing import text_message

CHANGES_MEMBERS: Final = frozenset(
    {EventKind.GROUP_CREATED, EventKind.MEMBER_JOINED, EventKind.MEMBER_LEFT}
)


class Release(msgspec.Struct, frozen=True, gc=False):
    seq: int
    kind: EventKind
    sender: str
    frame: bytes
    """A whole WebSocket frame."""
    named: tuple[str, ...] = ()
    """Who becomes a member with it, or is one no more: of a direct conversation's first message
    both users."""
    origin: object = None
    """The connection that has its ack, on the node that wrote it."""
    is_foreign: bool = False
    """It was not committed by this node, or was read from the log: it may be an old one."""


def of_entry(entry: Entry, outcome: Outcome) -> Release:
    """An event that was just committed here."""
    return Release(
        outcome.seq,
        entry.kind,
        entry.sender,
        text_message(encode(released_push(entry, outcome))),
        _named(entry.kind, outcome.seq, entry.sender, entry.body),
        entry.origin,
    )


def of_event(event: Event) -> Release:
    """An event that was read from the store."""
    return Release(
        event.seq,
        event.kind,
        event.sender,
        text_message(encode(stored_push(event, offline=False))),
        # Only these are worth looking into the body for.
        _named(event.kind, event.seq, event.sender, decode_body(event.kind, event.body))
        if event.kind in CHANGES_MEMBERS or event.seq == 1
        else (),
        is_foreign=True,
    )


def _named(kind: EventKind, seq: int, sender: str, body: AnyBody) -> tuple[str, ...]:
    if kind is EventKind.DIRECT_MESSAGE:
        assert isinstance(body, MessageBody)
        return (sender, body.to) if seq == 1 and body.to is not None else ()
    if kind in CHANGES_MEMBERS:
        assert isinstance(body, GroupCreatedBody | MemberBody)
        return tuple(body.members) if isinstance(body, GroupCreatedBody) else (body.username,)
    return ()
