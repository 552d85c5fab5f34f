"""Rows of PostgreSQL as events, and as messages with what became of them."""

from collections.abc import Sequence
from typing import Any, Final

from chatd.stores.recent_events import Fate, Fated
from chatd.stores.rows import event_of_row

_WIDTH: Final = 8


def event_columns(table: str) -> str:
    """What `event_of_row` takes."""
    names = ("conversation_id", "seq", "nonce", "kind", "sender", "body", "at")
    return ", ".join(f"{table}.{name}" for name in names) + f", coalesce({table}.version, 0)"


FATE_COLUMNS: Final = (
    "state.version, state.edited_seq, state.deleted_seq, reacted.emojis, reacted.usernames,"
    f" {event_columns('edit')}"
)
"""What `fate_of_row` takes."""


def fate_joins(conversation_id: str, seq: str) -> str:
    """Joins what became of the message that these two expressions name."""
    return (
        " LEFT JOIN message_state AS state"
        f" ON state.conversation_id = {conversation_id} AND state.seq = {seq}"
        " LEFT JOIN ledger AS edit"
        f" ON edit.conversation_id = {conversation_id} AND edit.seq = state.edited_seq"
        " LEFT JOIN LATERAL (SELECT array_agg(emoji ORDER BY reaction.seq) AS emojis,"
        " array_agg(username::text ORDER BY reaction.seq) AS usernames FROM reaction"
        f" WHERE reaction.conversation_id = {conversation_id} AND target = {seq}) AS reacted"
        " ON true"
    )


def fate_of_row(row: Sequence[Any]) -> Fate:
    version, edited_seq, deleted_seq, emojis, usernames = row[:5]
    return Fate(
        1 if version is None else version,
        edited_seq,
        None if row[5] is None else event_of_row(row[5:]),
        deleted_seq is not None,
        () if emojis is None else [*zip(emojis, usernames, strict=True)],
    )


def fated_of_row(row: Sequence[Any]) -> Fated | None:
    """The columns of an event and of its fate; None when an outer join found no event."""
    return None if row[0] is None else Fated(event_of_row(row), fate_of_row(row[_WIDTH:]))


def lacks(conversation_id: str, lowest: str, highest: str) -> str:
    """The highest of these numbers, both included, that the ledger does not have; 0 for none.

    Numbers are dense but for those of the partitions that were dropped. Those are the lowest, as a
    rule: an event that waited for its turn at midnight has a higher number than one of the next
    day.
    """
    return (
        f"(SELECT CASE WHEN {lowest} > {highest} THEN 0"
        f" WHEN max(seq) IS DISTINCT FROM {highest} THEN {highest}"
        " ELSE coalesce(max(seq) FILTER (WHERE seq > previous + 1) - 1, 0) END"
        f" FROM (SELECT seq, lag(seq, 1, {lowest} - 1) OVER (ORDER BY seq) AS previous FROM ledger"
        f" WHERE ledger.conversation_id = {conversation_id}"
        f" AND seq BETWEEN {lowest} AND {highest}) AS numbers)"
    )
