"""The OfflineQueue on RQ: jobs are put into Redis here and done by `chatd worker`.

RQ and its client wait, so a thread puts them. What waits for the thread is one range for each
conversation, however long Redis is away. Limit: `CONVERSATIONS` wait; beyond it, and what Redis
does not take, is dropped and counted: the sweep of the worker finds it.
"""

import asyncio
import contextlib
import secrets
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from loguru import logger

from chatd.errors import BackendError
from chatd.fabric import jobs_rq
from chatd.fabric.jobs_rq import NOTE, PUSH
from chatd.fabric.offline_queue import Handlers, OfflineJob, PushJob
from chatd.fabric.push_slots_redis import PushSlots, Slot
from chatd.fabric.queue_client_redis import FAILURES, connect
from chatd.metrics import Metrics

CONVERSATIONS: Final = 10_000
_STOP_SECONDS: Final = 3
_WARN_SECONDS: Final = 60.0

T = TypeVar("T")


class RqOfflineQueue:
    """See the port."""

    def __init__(self, url: str, metrics: Metrics, *, push_pause_seconds: float = 0) -> None:
        """Raises ValueError: the URL cannot be used."""
        self._redis = connect(url)
        self._slots = PushSlots(self._redis, push_pause_seconds)
        self._metrics = metrics
        self._loop: asyncio.AbstractEventLoop
        self._waiting: dict[str, tuple[int, int]] = {}
        self._has_waiting = threading.Condition()
        """Guards `_waiting` and `_is_stopping`."""
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="offline queue", daemon=True)
        self._pushes: list[tuple[list[Slot], asyncio.Future[None]]] = []
        self._pushing: asyncio.Task[None] | None = None
        self._calls = ThreadPoolExecutor(1, thread_name_prefix="offline queue call")
        self._warned_at = -_WARN_SECONDS

    async def start(self, handlers: Handlers) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        with self._has_waiting:
            self._is_stopping = True
            self._has_waiting.notify()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, _STOP_SECONDS)
        self._calls.shutdown(wait=False, cancel_futures=True)
        self._redis.close()

    def enqueue(self, jobs: Sequence[OfflineJob]) -> None:
        dropped = 0
        with self._has_waiting:
            for conversation_id, first, last in jobs:
                waiting = self._waiting.get(conversation_id)
                if waiting is not None:
                    self._waiting[conversation_id] = min(first, waiting[0]), max(last, waiting[1])
                elif len(self._waiting) < CONVERSATIONS:
                    self._waiting[conversation_id] = first, last
                else:
                    dropped += 1
            self._metrics.offline_jobs_waiting = len(self._waiting)
            self._has_waiting.notify()
        self._metrics.offline_jobs_dropped += dropped

    async def push(self, jobs: Sequence[PushJob]) -> None:
        if not jobs:
            return
        put = self._loop.create_future()
        self._pushes.append(([Slot(*job, secrets.token_hex(8)) for job in jobs], put))
        if self._pushing is None:
            self._pushing = self._loop.create_task(self._push(), name="pushes")
        await put

    async def put(self, jobs: Sequence[OfflineJob]) -> None:
        """Put jobs into Redis, and see that they are there.

        Raises:
            BackendError: some may not have been put.
        """
        if await self._call(lambda: jobs_rq.put(NOTE, jobs, self._redis)) < len(jobs):
            raise BackendError("the job queue is full")

    async def _push(self) -> None:
        """Put what waits, and what gathers meanwhile, together: a job is dear, and holds many."""
        try:
            while self._pushes:
                waiting, self._pushes = self._pushes, []
                slots = [slot for some, _ in waiting for slot in some]
                failure = await self._failure(slots)
                for _, put in waiting:
                    if put.done():
                        continue
                    if failure is None:
                        put.set_result(None)
                    else:
                        put.set_exception(failure)
        finally:
            self._pushing = None

    async def _failure(self, slots: list[Slot]) -> Exception | None:
        try:
            await self._call(lambda: self._put_pushes(slots))
        except Exception as error:
            # Whatever it is: those who wait are told.
            return error
        return None

    async def _call(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._calls, work)
        except FAILURES as error:
            raise BackendError(f"the job queue: {error or type(error).__name__}") from error

    def _put_pushes(self, slots: list[Slot]) -> None:
        pauses = self._slots.claim(slots)
        later: dict[int, list[Slot]] = defaultdict(list)
        for slot, pause in zip(slots, pauses, strict=True):
            if pause is not None:
                # Rounded up: RQ begins at the whole second before.
                later[int(pause) + 1 if pause else 0].append(slot)
        for seconds, claimed in later.items():
            try:
                put = jobs_rq.put(PUSH, claimed, self._redis, after_seconds=seconds)
                if put < len(claimed):
                    raise OSError("the queue is full")
            except FAILURES:
                self._slots.release(claimed)
                raise

    def _run(self) -> None:
        is_stopping = False
        while not is_stopping:
            with self._has_waiting:
                self._has_waiting.wait_for(lambda: self._waiting or self._is_stopping)
                waiting, self._waiting = self._waiting, {}
                is_stopping = self._is_stopping
            jobs = [OfflineJob(name, first, last) for name, (first, last) in waiting.items()]
            if jobs:
                taken, reason = self._hand_over(jobs)
                # The loop is closed when it did not wait for this thread at the end.
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._handed, len(jobs) - taken, reason)

    def _hand_over(self, jobs: list[OfflineJob]) -> tuple[int, str]:
        """How many of the jobs Redis has taken, and why not all."""
        try:
            return jobs_rq.put(NOTE, jobs, self._redis), "the job queue is full"
        except FAILURES as error:
            return 0, str(error) or type(error).__name__
        except Exception as error:
            logger.exception("a bug in the offline queue")
            return 0, repr(error)

    def _handed(self, dropped: int, reason: str) -> None:
        self._metrics.offline_jobs_waiting = len(self._waiting)
        self._metrics.offline_jobs_dropped += dropped
        now = self._loop.time()
        if dropped and now > self._warned_at + _WARN_SECONDS:
            self._warned_at = now
            logger.warning("offline jobs are dropped, for the sweep to find: {}", reason)
