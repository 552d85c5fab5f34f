"""Rows as the adapters of both databases select them: the same columns in the same order."""

from typing import Any, Protocol

from chatd.events import Event, EventKind
from chatd.stores.conversation_store import ConversationKind, Membership
from protocol.model import HistoryVisibility, Role


class Row(Protocol):
    """What a driver gives for a row."""

    def __getitem__(self, index: int, /) -> Any: ...


def event_of_row(row: Row) -> Event:
    """conversation_id, seq, nonce, kind, sender, body, at, version (0 when it has none)."""
    return Event(row[0], row[1], row[2], EventKind(row[3]), row[4], row[5], row[6], row[7])


def membership_of_row(row: Row) -> Membership:
    """conversation_id, kind, role, history, joined_seq, delivered, read."""
    return Membership(
        row[0],
        ConversationKind(row[1]),
        Role(row[2]),
        HistoryVisibility(row[3]),
        row[4],
        row[5],
        row[6],
    )
