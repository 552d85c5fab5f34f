"""The OfflineQueue of one process: jobs are done one after the other on the loop, pushes beside
them.

Limit: `JOBS_WAITING`; at the limit new jobs are dropped.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from loguru import logger

from chatd.errors import BackendError
from chatd.fabric.offline_queue import Handlers, OfflineJob, PushJob
from chatd.fabric.pushes_memory import MemoryPushes
from chatd.metrics import Metrics

JOBS_WAITING: Final = 10_000
_STOP_SECONDS: Final = 2


class MemoryOfflineQueue:
    """See the port."""

    def __init__(self, metrics: Metrics, *, push_pause_seconds: float = 0) -> None:
        self._metrics = metrics
        self._waiting: deque[OfflineJob] = deque()
        self._handlers: Handlers | None = None
        self._worker: asyncio.Task[None] | None = None
        self._pushes = MemoryPushes(push_pause_seconds, metrics)

    async def start(self, handlers: Handlers) -> None:
        self._handlers = handlers
        self._pushes.start(handlers.push)
        self._begin()

    async def stop(self) -> None:
        if self._worker is not None:
            await asyncio.wait([self._worker], timeout=_STOP_SECONDS)
        if self._worker is not None:
            self._worker.cancel()
        self._handlers = None
        await self._pushes.stop(_STOP_SECONDS)

    def enqueue(self, jobs: Sequence[OfflineJob]) -> None:
        room = max(JOBS_WAITING - len(self._waiting), 0)
        self._waiting += jobs[:room]
        self._metrics.offline_jobs_dropped += len(jobs[room:])
        self._metrics.offline_jobs_waiting = len(self._waiting)
        self._begin()

    async def push(self, jobs: Sequence[PushJob]) -> None:
        self._pushes.add(jobs)

    def _begin(self) -> None:
        if self._waiting and self._worker is None and self._handlers is not None:
            self._worker = asyncio.get_running_loop().create_task(
                self._work(self._handlers), name="offline jobs"
            )

    async def _work(self, handlers: Handlers) -> None:
        try:
            while self._waiting:
                job = self._waiting.popleft()
                self._metrics.offline_jobs_waiting = len(self._waiting)
                self._metrics.offline_jobs += 1
                try:
                    await handlers.note(job)
                except BackendError as error:
                    logger.warning("an offline job of {} failed: {}", job.conversation_id, error)
        finally:
            self._worker = None
