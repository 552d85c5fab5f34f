"""The OfflineQueue of one process: jobs are done one after the other on the loop.

Limit: `JOBS_WAITING`; at the limit new jobs are dropped.
"""

import asyncio
from collections import deque
from typing import Final

from loguru import logger

from chatd.errors import BackendError
from chatd.fabric.offline_queue import Handler, OfflineJob
from chatd.metrics import Metrics

JOBS_WAITING: Final = 10_000
_STOP_SECONDS: Final = 2


class MemoryOfflineQueue:
    """See the port."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._waiting: deque[OfflineJob] = deque()
        self._handler: Handler | None = None
        self._worker: asyncio.Task[None] | None = None

    async def start(self, handler: Handler) -> None:
        self._handler = handler
        self._begin()

    async def stop(self) -> None:
        if self._worker is not None:
            await asyncio.wait([self._worker], timeout=_STOP_SECONDS)
        if self._worker is not None:
            self._worker.cancel()
        self._handler = None

    async def enqueue(self, jobs: list[OfflineJob]) -> None:
        room = max(JOBS_WAITING - len(self._waiting), 0)
        self._waiting += jobs[:room]
        self._metrics.offline_jobs_dropped += len(jobs[room:])
        self._metrics.offline_jobs_waiting = len(self._waiting)
        self._begin()

    def _begin(self) -> None:
        if self._waiting and self._worker is None and self._handler is not None:
            self._worker = asyncio.get_running_loop().create_task(
                self._work(self._handler), name="offline jobs"
            )

    async def _work(self, handler: Handler) -> None:
        try:
            while self._waiting:
                job = self._waiting.popleft()
                self._metrics.offline_jobs_waiting = len(self._waiting)
                self._metrics.offline_jobs += 1
                try:
                    await handler(job)
                except BackendError as error:
                    logger.warning("an offline job of {} failed: {}", job.conversation_id, error)
        finally:
            self._worker = None
