"""Ranges of batches whose rows must be read from the ledger: bounded by how often they were
interrupted, not by how many batches they hold."""

from bisect import bisect_left
from collections.abc import Set

import msgspec

_NOTHING: frozenset[int] = frozenset()


class Gap(msgspec.Struct):
    first: int
    last: int
    events: int = 0
    """What the rows are known to be, those of lost calls not counted."""
    sessions: Set[int] = _NOTHING
    """Of lost calls, the database sessions that carried them: until they have ended, rows may still
    come."""


class BatchGaps:
    """Disjoint gaps, ascending. Neighbours of one kind, lost or not, are one."""

    def __init__(self) -> None:
        self._gaps: list[Gap] = []
        self.events = 0

    def __bool__(self) -> bool:
        return bool(self._gaps)

    @property
    def first(self) -> int:
        """The lowest batch; there must be one."""
        return self._gaps[0].first

    def all(self) -> list[Gap]:
        """Copies."""
        return [msgspec.structs.replace(gap) for gap in self._gaps]

    def add(self, batch: int, *, events: int = 0, session: int | None = None) -> None:
        """Add a batch that is in no gap."""
        sessions = _NOTHING if session is None else frozenset((session,))
        at = bisect_left(self._gaps, batch, key=lambda gap: gap.first)
        self._gaps.insert(at, Gap(batch, batch, events, sessions))
        self.events += events
        self._join(at)
        self._join(at - 1)

    def stretch(self, batch: int) -> None:
        """A batch without rows: a gap that ends before it may as well end with it."""
        at = bisect_left(self._gaps, batch, key=lambda gap: gap.first) - 1
        if at >= 0 and self._gaps[at].last == batch - 1:
            self._gaps[at].last = batch
            self._join(at)

    def cut(self, first: int, last: int, *, events: int) -> None:
        """Take a range of batches out; `events` is how many rows they have."""
        gaps: list[Gap] = []
        for gap in self._gaps:
            if gap.last < first or gap.first > last:
                gaps.append(gap)
                continue
            left = max(gap.events - events, 0)
            events = max(events - gap.events, 0)
            if gap.first < first:
                gaps.append(Gap(gap.first, first - 1, left, gap.sessions))
                left = 0
            if gap.last > last:
                gaps.append(Gap(last + 1, gap.last, left, gap.sessions))
        self._gaps = gaps
        self.events = sum(gap.events for gap in gaps)

    def _join(self, at: int) -> None:
        """Make one of a gap and the next, if they are neighbours of one kind."""
        if not 0 <= at < len(self._gaps) - 1:
            return
        one, other = self._gaps[at], self._gaps[at + 1]
        if one.last + 1 == other.first and bool(one.sessions) == bool(other.sessions):
            one.last = other.last
            one.events += other.events
            one.sessions |= other.sessions
            del self._gaps[at + 1]
