"""The calls of this process that appended events, and what the message store has of them.

Every call has a number, its batch, which the rows in the ledger carry. A batch is open until its
outcome is known; its events then wait in memory until they are put. What does not fit, and calls
whose outcome is unknown, are gaps: batches whose rows are read from the ledger later.

Limits: `events_in_memory` events wait in memory; beyond it new ones are gaps, until half of them
went. `events_unstored` events are not in the message store; beyond it no call begins.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from chatd.errors import BackendError
from chatd.metrics import Metrics
from chatd.stores.batch_gaps import BatchGaps, Gap
from chatd.stores.message_store import Put

EVENTS_IN_MEMORY: Final = 20_000
EVENTS_UNSTORED: Final = 5_000_000


class Group(NamedTuple):
    """Events that are put together, and their batches, all of whose events they are."""

    batches: list[int]
    puts: list[Put]


class Batches:
    def __init__(
        self,
        metrics: Metrics,
        *,
        events_in_memory: int = EVENTS_IN_MEMORY,
        events_unstored: int = EVENTS_UNSTORED,
    ) -> None:
        self.came: Callable[[], None] | None = None
        """Told whenever events began to wait."""
        self._metrics = metrics
        self._events_in_memory = events_in_memory
        self._events_unstored = events_unstored
        self._last = 0
        self._unsettled: set[int] = set()
        """Batches that are open, or whose events are in memory."""
        self._waiting: deque[tuple[int, Sequence[Put]]] = deque()
        self._waiting_events = 0
        self._in_memory = 0
        """Events that wait or are being put."""
        self._is_full = False
        self._gaps = BatchGaps()

    @property
    def waiting(self) -> int:
        """Events in memory that nobody puts yet."""
        return self._waiting_events

    @property
    def unstored(self) -> int:
        """Events that the message store does not have, as far as is known."""
        return self._in_memory + self._gaps.events

    @property
    def has_room(self) -> bool:
        """Whether rows of gaps may be read."""
        return self._in_memory <= self._events_in_memory // 2

    @property
    def stored(self) -> int:
        """Everything up to this batch is in the message store."""
        stored = min(self._unsettled) - 1 if self._unsettled else self._last
        return min(stored, self._gaps.first - 1) if self._gaps else stored

    # For the ledger.

    def begin(self) -> int:
        """The number of a call that begins now.

        Raises:
            BackendError: the message store lacks too much.
        """
        if self.unstored >= self._events_unstored:
            raise BackendError(
                f"{self.unstored} events wait to be stored; the message store is away or too slow"
            )
        self._last += 1
        self._unsettled.add(self._last)
        return self._last

    def committed(self, batch: int, puts: Sequence[Put]) -> None:
        """The call is over, and brought these events: none if it stored nothing."""
        count = len(puts)
        if not count:
            self._unsettled.discard(batch)
            self._gaps.stretch(batch)
            return
        if self._in_memory + count > self._events_in_memory:
            self._is_full = True
        if self._is_full:
            self._unsettled.discard(batch)
            self._gaps.add(batch, events=count)
        else:
            self._wait(batch, puts)
        self._count()
        if self.came is not None:
            self.came()

    def lost(self, batch: int, session: int) -> None:
        """The outcome of the call is unknown until the session that carried it has ended."""
        self._unsettled.discard(batch)
        self._gaps.add(batch, session=session)

    # For the writer of the message store.

    def take(self, most: int) -> Group | None:
        """Events that have waited longest: `most` of them, more if one call brought more; None when
        nothing waits."""
        if not self._waiting:
            return None
        group = Group([], [])
        while self._waiting:
            batch, puts = self._waiting[0]
            if group.puts and len(group.puts) + len(puts) > most:
                break
            self._waiting.popleft()
            self._waiting_events -= len(puts)
            group.batches.append(batch)
            group.puts.extend(puts)
        return group

    def put(self, group: Group) -> None:
        """The events of a group that was taken are in the message store."""
        self._unsettled.difference_update(group.batches)
        self._in_memory -= len(group.puts)
        if self.has_room:
            self._is_full = False
        self._count()

    def gaps(self) -> list[Gap]:
        """The gaps as they are now, ascending."""
        return self._gaps.all()

    def found(self, first: int, last: int, rows: Sequence[tuple[int, Put]]) -> None:
        """In the ledger, the batches from `first` to `last` of a gap have these rows, by batch;
        they wait now."""
        self._gaps.cut(first, last, events=len(rows))
        by_batch: dict[int, list[Put]] = {}
        for batch, put in rows:
            by_batch.setdefault(batch, []).append(put)
        for batch, puts in by_batch.items():
            self._wait(batch, puts)
        self._count()
        if rows and self.came is not None:
            self.came()

    def _wait(self, batch: int, puts: Sequence[Put]) -> None:
        self._unsettled.add(batch)
        self._waiting.append((batch, puts))
        self._waiting_events += len(puts)
        self._in_memory += len(puts)

    def _count(self) -> None:
        self._metrics.history_waiting = self._in_memory
        self._metrics.history_unstored = self.unstored
