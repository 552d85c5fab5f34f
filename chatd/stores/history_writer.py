"""Fills the message store with what this process committed.

Group commit: what waits is put together, a few puts at a time; a put that fails is repeated for
ever. Nobody waits for it: recent events are read from the ledger. Up to which batch everything is
stored is recorded about once a second; what a process did not get to is put by another
(`history_takeover.py`). Puts may overtake each other: the store minds neither order nor repeats.

Limits: those of Batches; `PUTS_AT_ONCE` puts of `EVENTS_A_PUT` events; a process that stops puts
what waits for at most `STOP_SECONDS`.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Final

from loguru import logger

from chatd.errors import BackendError
from chatd.metrics import Metrics
from chatd.stores.batches import Batches, Group
from chatd.stores.message_store import MessageStore, Put
from chatd.stores.unstored_rows import UnstoredRows
from chatd.tasks import TaskOwner

PUTS_AT_ONCE: Final = 4
EVENTS_A_PUT: Final = 500
STOP_SECONDS: Final = 5.0


class HistoryWriter:
    def __init__(
        self,
        writer: str,
        batches: Batches,
        rows: UnstoredRows,
        store: MessageStore,
        metrics: Metrics,
        *,
        puts_at_once: int = PUTS_AT_ONCE,
        events_a_put: int = EVENTS_A_PUT,
        gather_seconds: float = 0.05,
        first_pause_seconds: float = 0.1,
        longest_pause_seconds: float = 5.0,
        tick_seconds: float = 1.0,
        sign_seconds: float = 3.0,
        lost_seconds: float = 120.0,
    ) -> None:
        """`writer` is the id that the process appends under, and `batches` what it appended.

        Events wait for `gather_seconds` to be put with others. A put that failed is repeated after
        a pause, each twice as long as the one before. Each tick records how far the store got, if
        that changed or the last sign of life is `sign_seconds` old, and reads gaps; that of a call
        whose session does not seem to end, after `lost_seconds`.
        """
        self._writer = writer
        self._batches = batches
        self._rows = rows
        self._store = store
        self._metrics = metrics
        self._puts_at_once = puts_at_once
        self._events_a_put = events_a_put
        self._gather_seconds = gather_seconds
        self._first_pause = first_pause_seconds
        self._longest_pause = longest_pause_seconds
        self._tick_seconds = tick_seconds
        self._sign_seconds = sign_seconds
        self._lost_seconds = lost_seconds
        self._loop = asyncio.get_running_loop()
        self._tasks = TaskOwner()
        self._puts = 0
        """Under way, pauses after failures included."""
        self._gathering: asyncio.TimerHandle | None = None
        self._is_started = False
        self._is_stopping = False
        self._idle = asyncio.Event()
        self._recorded = -1
        self._recorded_at = 0.0
        self._is_failing = False
        """The last put did."""

    async def start(self) -> None:
        """Begin to put, what waits already too."""
        self._is_started = True
        self._batches.came = self._came
        self._came()
        self._tasks.start(self._recording(), "history progress")
        self._tasks.start(self._reading_gaps(), "history gaps")

    async def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Put what waits, for so long, and record how far that got. Appending is over."""
        if not self._is_started:
            return
        self._is_stopping = True
        self._came()
        try:
            async with asyncio.timeout(seconds):
                while self._puts or self._batches.waiting:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            logger.warning(
                "{} events are not in the message store yet; another process will put them",
                self._batches.unstored,
            )
        self._batches.came = None
        if self._gathering is not None:
            self._gathering.cancel()
        await self._tasks.cancel()
        try:
            async with asyncio.timeout(seconds):
                await self._rows.record(self._writer, self._batches.stored)
        except (BackendError, TimeoutError) as error:
            logger.warning("progress was not recorded: {}", str(error) or "no answer")

    # Putting.

    def _came(self) -> None:
        """Something waits, or a put is over."""
        waiting = self._batches.waiting
        if not waiting or self._puts >= self._puts_at_once:
            return
        if self._is_stopping or waiting >= self._events_a_put:
            self._begin()
        elif self._gathering is None:
            self._gathering = self._loop.call_later(self._gather_seconds, self._gathered)

    def _gathered(self) -> None:
        self._gathering = None
        self._begin()

    def _begin(self) -> None:
        while self._puts < self._puts_at_once:
            group = self._batches.take(self._events_a_put)
            if group is None:
                break
            self._puts += 1
            self._tasks.start(self._put(group), "history put")

    async def _put(self, group: Group) -> None:
        try:
            await self._put_at_last(group.puts)
            self._batches.put(group)
        finally:
            self._puts -= 1
            self._idle.set()
        self._came()

    async def _put_at_last(self, puts: Sequence[Put]) -> None:
        pause = self._first_pause
        while True:
            try:
                await self._store.put(puts)
            except BackendError as error:
                self._failed(error)
            except Exception as error:
                self._failed(error)
                if len(puts) > 1:
                    # One event that it cannot digest must not keep the others.
                    half = len(puts) // 2
                    await asyncio.gather(
                        self._put_at_last(puts[:half]), self._put_at_last(puts[half:])
                    )
                    return
            else:
                self._succeeded(len(puts))
                return
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, self._longest_pause)

    def _failed(self, error: Exception) -> None:
        self._metrics.history_put_failures += 1
        if not self._is_failing:
            bug = None if isinstance(error, BackendError) else error
            logger.opt(exception=bug).error(
                "the message store does not take events, which wait: {}", error
            )
        self._is_failing = True

    def _succeeded(self, count: int) -> None:
        self._metrics.history_puts += 1
        self._metrics.history_events += count
        if self._is_failing:
            logger.info("the message store takes events again")
        self._is_failing = False

    # Progress, and what is not in memory.

    async def _recording(self) -> None:
        while True:
            stored, now = self._batches.stored, time.monotonic()
            if stored != self._recorded or now - self._recorded_at >= self._sign_seconds:
                try:
                    await self._rows.record(self._writer, stored)
                    self._recorded, self._recorded_at = stored, now
                except BackendError as error:
                    logger.warning("progress was not recorded: {}", error)
                except Exception:
                    logger.exception("a bug in recording progress")
            await asyncio.sleep(self._tick_seconds)

    async def _reading_gaps(self) -> None:
        lost_at: dict[int, float] = {}
        while True:
            await asyncio.sleep(self._tick_seconds)
            try:
                await self._read_gaps(lost_at)
            except BackendError as error:
                logger.warning("unstored events were not read from the ledger: {}", error)
            except Exception:
                logger.exception("a bug in reading unstored events from the ledger")

    async def _read_gaps(self, lost_at: dict[int, float]) -> None:
        """`lost_at` remembers when a session was first seen to have lost a call."""
        gaps = self._batches.gaps()
        sessions = {session for gap in gaps for session in gap.sessions}
        now = time.monotonic()
        for session in lost_at.keys() - sessions:
            del lost_at[session]
        pending: set[int] = set()
        if sessions:
            pending = {
                session
                for session in await self._rows.under_way(sessions)
                if now - lost_at.setdefault(session, now) < self._lost_seconds
            }
        for gap in gaps:
            if pending.isdisjoint(gap.sessions):
                await self._read_gap(gap.first, gap.last)

    async def _read_gap(self, first: int, last: int) -> None:
        while first <= last and self._batches.has_room:
            rows = await self._rows.rows(
                self._writer, after=first - 1, up_to=last, limit=self._events_a_put
            )
            up_to = rows[-1][0] if len(rows) >= self._events_a_put else last
            self._batches.found(first, up_to, rows)
            first = up_to + 1
