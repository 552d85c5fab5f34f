"""What may be wrong with a history."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """Each with the promise that it breaks."""

    HOLE_IN_LOG = "hole-in-log"
    """The log of a conversation, read from its beginning, has every number once, in order."""
    NOT_READ = "not-read"
    """Everything that was said can be read at the end."""
    ACKED_LOST = "acked-lost"
    """What was acked is stored, at the place that the ack names."""
    ACK_UNTRUE = "ack-untrue"
    """An ack says what is so: conversation, time, key, the number before."""
    STORED_TWICE = "stored-twice"
    """A clientMsgId, or an edit, is stored once at most."""
    STORED_UNASKED = "stored-unasked"
    """What is stored was sent."""
    STORED_OTHERWISE = "stored-otherwise"
    """It is stored as it was sent, by whom and where it was sent."""
    REPEATED_OTHERWISE = "repeated-otherwise"
    """A repeated post gets the first one's place; at most one of the acks is not a duplicate's."""
    REORDERED = "reordered"
    """What a connection sends to a conversation is numbered in the order of sending."""
    LOG_CHANGED = "log-changed"
    """Nobody restored a backup: INFO names the same log all the time."""
    TOLD_NOT_STORED = "told-not-stored"
    """Nobody is told of an event that is not stored."""
    TOLD_OTHERWISE = "told-otherwise"
    """Everybody is told the event that is stored at the number."""
    TOLD_TWICE = "told-twice"
    """On one connection an event comes once, and not at all where its ack came."""
    OUT_OF_ORDER = "out-of-order"
    """On one connection a conversation's events come in the order of their numbers."""
    GAP = "gap"
    """Between two events on one connection none is left out."""
    BELOW_POSITION = "below-position"
    """Nothing comes that a RESUME said the device has."""
    BEFORE_RESUME = "before-resume"
    """With `?resume=1` nothing comes of a conversation before a RESUME named it."""
    SKIPPED = "skipped"
    """The delivered cursor is not above what the user's devices were told."""
    NOT_ENTITLED = "not-entitled"
    """Nobody is told what happened before it came or after it left."""
    MISSING = "missing"
    """Whoever is there when all is quiet has everything."""
    UNANSWERED = "unanswered"
    """Every request is answered, once."""
    WRONGLY_REFUSED = "wrongly-refused"
    """A request is refused only for what is so."""
    FORGOTTEN = "forgotten"
    """What was told is never above the head."""
    GARBLED = "garbled"
    """Every message of the server is a frame."""
    CLOSED_WRONGLY = "closed-wrongly"
    """Nobody is closed for what it did not do."""
    SHUT_OUT = "shut-out"
    """Who has a good token may connect."""
    STATE_DIFFERS = "state-differs"
    """A history shows what the events up to its `headSeq` make of the messages."""
    STALE = "stale"
    """A history or summary shows what was acked or told before it was asked for."""
    DELETED_TOLD = "deleted-told"
    """What a deleted message said is not told to whoever comes later."""
    CURSOR_WENT_BACK = "cursor-went-back"
    """A delivered or read cursor only moves forward."""
    CURSOR_UNTRUE = "cursor-untrue"
    """A cursor is not above the head, nor read above delivered."""


class Anomaly(NamedTuple):
    kind: Kind
    words: str
    shown_by: tuple[int, ...] = ()
    """Numbers of the records that show it."""

    def __str__(self) -> str:
        places = ", ".join(map(str, self.shown_by))
        return f"{self.kind}: {self.words}" + (f" (records {places})" if places else "")


def count(anomalies: Iterable[Anomaly]) -> dict[str, int]:
    """How many there are of each kind, the most frequent first."""
    return dict(Counter(str(anomaly.kind) for anomaly in anomalies).most_common())
