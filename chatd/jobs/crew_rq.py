"""Workers of RQ as threads of one process, whose jobs run on its one loop.

RQ's own worker forks for each job: a process of this size does 30 a second, and every job would
open its own connections. Threads share the loop, and with it one pool. A thread does one job at a
time; while it does, it renews its lease of the job, so that the job of a worker that died is found
`LEASE_SECONDS` later.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, wait
from typing import Any, Final

from loguru import logger
from rq import SimpleWorker
from rq.exceptions import StopRequested
from rq.job import Job
from rq.queue import Queue
from rq.timeouts import BaseDeathPenalty

from chatd.fabric import jobs_rq
from chatd.fabric.jobs_rq import NOTE, PUSH, Item, Kind
from chatd.fabric.offline_queue import Handlers, OfflineJob, PushJob
from chatd.fabric.push_slots_redis import PushSlots, Slot
from chatd.fabric.queue_client_redis import FAILURES, SECONDS, QueueRedis, connect
from chatd.jobs import functions_rq
from chatd.jobs.runner import Failure, do_all

LEASE_SECONDS: Final = 10
_RENEW_SECONDS: Final = 3.0
_IDLE_SECONDS: Final = 1
_REST_SECONDS: Final = 2.0
"""After Redis was gone."""
_QUIET_SECONDS: Final = 60.0
_NOTES_AT_ONCE: Final = 8
THREADS: Final = ((NOTE, 2), (PUSH, 4))


class _Seldom(logging.Filter):
    """Each thread says every other second that Redis is away: once a minute will do for all."""

    def __init__(self) -> None:
        super().__init__()
        self._quiet_until = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        if "could not connect to Redis" not in str(record.msg):
            return True
        now = time.monotonic()
        if now < self._quiet_until:
            return False
        self._quiet_until = now + _QUIET_SECONDS
        return True


logging.getLogger("rq.worker").addFilter(_Seldom())


class JobFailed(Exception):
    """None of a job's items could be done; the message says why."""


class _NoTimer(BaseDeathPenalty):
    """RQ's timers are signals, which a thread cannot have; the loop keeps the time."""

    def setup_death_penalty(self) -> None:
        pass

    def cancel_death_penalty(self) -> None:
        pass


class Crew:
    """The threads. Made and stopped on the loop that the jobs run on."""

    def __init__(self, url: str, handlers: Handlers, *, push_pause_seconds: float) -> None:
        self._url = url
        self._handlers = handlers
        self._push_pause_seconds = push_pause_seconds
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._running: set[asyncio.Task[Any]] = set()
        self._threads = [
            threading.Thread(target=self._run, args=(kind,), name=f"{kind.queue} {n}", daemon=True)
            for kind, count in THREADS
            for n in range(count)
        ]
        self._left = len(self._threads)
        """Threads that have not ended."""
        self._have_ended = asyncio.Event()

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    async def stop(self, seconds: float) -> None:
        """Begin nothing new and finish what was begun; what is not done in time is cancelled, and
        done again later."""
        self._stopping.set()
        try:
            await asyncio.wait_for(self._have_ended.wait(), seconds)
        except TimeoutError:
            logger.warning("{} jobs are cancelled, to be done again", len(self._running))
            for task in self._running:
                task.cancel()
            await self._have_ended.wait()

    async def do(self, kind: Kind, items: Sequence[Item]) -> list[Failure[Item]]:
        """Do the items of a job, for a thread that waits for it."""
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            if kind is NOTE:
                return await do_all(
                    lambda item: self._handlers.note(OfflineJob(*item)),  # type: ignore[arg-type]
                    items,
                    at_once=_NOTES_AT_ONCE,
                    seconds=kind.seconds,
                )
            return await do_all(
                lambda item: self._handlers.push(PushJob(item[0], item[1])),  # type: ignore[arg-type]
                items,
                at_once=len(items) or 1,
                seconds=kind.seconds,
            )
        finally:
            self._running.discard(task)

    def begin(self, kind: Kind, items: Sequence[Item]) -> Future[list[Failure[Item]]]:
        """As `do`, from a thread."""
        return asyncio.run_coroutine_threadsafe(self.do(kind, items), self._loop)

    def _run(self, kind: Kind) -> None:
        while not self._stopping.is_set():
            try:
                with connect(self._url) as redis:
                    pause = self._push_pause_seconds
                    worker = _ThreadWorker(kind, redis, self, self._stopping, pause)
                    worker.work(logging_level="WARNING")
            except FAILURES as error:
                logger.warning("the job queue is away: {}", error)
            except Exception:
                logger.exception("a worker of the job queue ended")
            self._stopping.wait(_REST_SECONDS)
        self._loop.call_soon_threadsafe(self._ended)

    def _ended(self) -> None:
        self._left -= 1
        if not self._left:
            self._have_ended.set()


class _ThreadWorker(SimpleWorker):
    death_penalty_class = _NoTimer
    max_connection_wait_time = _REST_SECONDS

    def __init__(
        self,
        kind: Kind,
        redis: QueueRedis,
        crew: Crew,
        stopping: threading.Event,
        push_pause_seconds: float,
    ) -> None:
        super().__init__(
            [jobs_rq.queue_of(kind, redis)],
            connection=redis,
            serializer=jobs_rq.SERIALIZER,
            log_job_description=False,
        )
        self._crew = crew
        self._stopping = stopping
        self._slots = PushSlots(redis, push_pause_seconds)

    def work(self, *arguments: Any, **options: Any) -> bool:
        functions_rq.bind(self.do)
        return super().work(*arguments, **options)

    def do(self, kind: Kind, items: Sequence[Item]) -> None:
        """What the functions of the jobs do. Raises JobFailed: RQ is to try again, or keep it as a
        dead letter."""
        job = self.get_current_job()
        assert job is not None
        pause = job.get_retry_interval() if job.should_retry else None
        mine = items
        if kind is PUSH:
            slots = [Slot(*item) for item in items]  # type: ignore[arg-type]
            begun = self._slots.begin(slots)
            mine = [item for item, is_mine in zip(items, begun, strict=True) if is_mine]
        failures = self._wait_for(job, kind, mine)
        if not failures:
            return
        is_alone = len(failures) < len(items)
        if is_alone:
            pause = kind.pauses[0]
        if kind is PUSH and pause is not None:
            slots = [Slot(*failure.item) for failure in failures]  # type: ignore[arg-type]
            again = self._slots.wait_again(slots, pause)
            failures = [one for one, is_mine in zip(failures, again, strict=True) if is_mine]
            if not failures:
                return
        if not is_alone or pause is None:
            raise JobFailed(failures[0].reason)
        # The others are done: these do not wait for each other either.
        jobs_rq.put_back(kind, [failure.item for failure in failures], pause, self.connection)

    def _wait_for(self, job: Job, kind: Kind, items: Sequence[Item]) -> list[Failure[Item]]:
        future = self._crew.begin(kind, items)
        while not wait([future], timeout=_RENEW_SECONDS).done:
            execution = self.execution
            try:
                if execution is not None:
                    self.maintain_heartbeats(job, execution)
            except FAILURES as error:
                logger.warning("the lease of a job was not renewed: {}", error)
        try:
            return future.result()
        except CancelledError:
            raise JobFailed("the worker was stopped") from None

    # What RQ asks of a worker, as a thread has it.

    @property
    def dequeue_timeout(self) -> int:
        return _IDLE_SECONDS

    @property
    def connection_timeout(self) -> int:
        return int(SECONDS)

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        return LEASE_SECONDS

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        while not self._stopping.is_set():
            found = super().dequeue_job_and_maintain_ttl(timeout, max_idle_time=_IDLE_SECONDS)
            if found is not None:
                return found
        raise StopRequested

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        error = exc_info[1]
        if not isinstance(error, (JobFailed, *FAILURES)):
            logger.opt(exception=exc_info).error("job {} failed", job.id)
        elif job.should_retry:
            logger.info("job {} failed and will be tried again: {}", job.id, error)
        else:
            logger.warning("job {} is a dead letter: {}", job.id, error)

    def run_maintenance_tasks(self) -> None:
        """The upkeep does them, for all."""

    def _install_signal_handlers(self) -> None:
        """The process has its own."""

    def subscribe(self) -> None:
        """Nobody sends commands."""

    def unsubscribe(self) -> None:
        pass
