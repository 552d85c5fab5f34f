"""Pushes of one process: made on the loop, at most one waiting for each user and conversation.

Limits: `PUSHES` are known, those that wait and those that were made lately; at the limit new ones
are dropped and counted. `AT_ONCE` are made at a time, the others wait their turn.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from loguru import logger

from chatd.errors import BackendError
from chatd.fabric.offline_queue import PushJob, TryAgain
from chatd.metrics import Metrics
from chatd.tasks import TaskOwner

PUSHES: Final = 10_000
AT_ONCE: Final = 16
PAUSES: Final = (2.0, 10.0, 60.0, 600.0)
"""Seconds before each further attempt of a push that failed; then it is given up."""


class _Slot:
    """The pushes of one user and conversation."""

    __slots__ = ("attempts", "free_at", "timer", "waits")

    def __init__(self) -> None:
        self.waits = False
        """A push is to begin: what comes now is left to it."""
        self.free_at = 0.0
        """When the next may begin, by the loop's clock."""
        self.attempts = 0
        """Those of the push that waits which failed."""
        self.timer: asyncio.Handle | None = None


class MemoryPushes:
    def __init__(self, pause_seconds: float, metrics: Metrics) -> None:
        self._pause_seconds = pause_seconds
        self._metrics = metrics
        self._slots: dict[PushJob, _Slot] = {}
        self._handler: Callable[[PushJob], Awaitable[None]] | None = None
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._tasks = TaskOwner()

    def start(self, handler: Callable[[PushJob], Awaitable[None]]) -> None:
        self._handler = handler

    async def stop(self, seconds: float) -> None:
        """Let what has begun end; what waits for its time is given up."""
        self._handler = None
        for slot in self._slots.values():
            if slot.timer is not None:
                slot.timer.cancel()
        self._slots.clear()
        await self._tasks.finish(seconds)

    def add(self, jobs: Sequence[PushJob]) -> None:
        """See `OfflineQueue.push`."""
        now = asyncio.get_running_loop().time()
        for job in jobs:
            slot = self._slots.get(job)
            if slot is None:
                if len(self._slots) >= PUSHES:
                    self._metrics.pushes_dropped += 1
                    continue
                slot = self._slots[job] = _Slot()
            if not slot.waits:
                self._wait(job, slot, max(slot.free_at - now, 0.0), attempts=0)

    def _wait(self, job: PushJob, slot: _Slot, seconds: float, *, attempts: int) -> None:
        slot.waits, slot.attempts = True, attempts
        self._set_timer(slot, seconds, lambda: self._begin(job, slot))

    def _set_timer(self, slot: _Slot, seconds: float, then: Callable[[], None]) -> None:
        if slot.timer is not None:
            slot.timer.cancel()
        loop = asyncio.get_running_loop()
        # Those whose time is now keep their order.
        slot.timer = loop.call_later(seconds, then) if seconds else loop.call_soon(then)

    def _begin(self, job: PushJob, slot: _Slot) -> None:
        slot.timer = None
        if self._handler is not None:
            self._tasks.start(self._make(self._handler, job, slot), name="push")

    async def _make(
        self, handler: Callable[[PushJob], Awaitable[None]], job: PushJob, slot: _Slot
    ) -> None:
        async with self._turns:
            # From here on it may have looked already: what comes now is the next one's.
            attempts, slot.waits = slot.attempts, False
            slot.free_at = asyncio.get_running_loop().time() + self._pause_seconds
            try:
                await handler(job)
            except (BackendError, TryAgain) as error:
                self._failed(job, slot, attempts, error)
            finally:
                if not slot.waits and self._handler is not None:
                    self._set_timer(slot, self._pause_seconds, lambda: self._forget(job))

    def _failed(self, job: PushJob, slot: _Slot, attempts: int, error: Exception) -> None:
        if slot.waits or self._handler is None:
            return
        if attempts < len(PAUSES):
            self._wait(job, slot, PAUSES[attempts], attempts=attempts + 1)
            return
        self._metrics.pushes_failed += 1
        logger.warning(
            "a push to {} about {} was given up: {}", job.username, job.conversation_id, error
        )

    def _forget(self, job: PushJob) -> None:
        self._slots.pop(job, None)
