"""What the queues need once, however many workers there are: one worker at a time does it.

Scheduled jobs are put into their queues when their time has come; jobs whose worker died are put
back; dead letters beyond `DEAD_LETTERS` of a queue are dropped, oldest first; and the sweep runs.
The lock dies `LOCK_SECONDS` after its holder.
"""

import asyncio
import secrets
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Final

from loguru import logger
from rq import worker_registration
from rq.job import Job
from rq.registry import clean_registries
from rq.scheduler import RQScheduler
from rq.worker import SimpleWorker

from chatd.fabric import jobs_rq
from chatd.fabric.jobs_rq import KINDS, NOTE
from chatd.fabric.queue_client_redis import FAILURES, connect

DEAD_LETTERS: Final = 10_000
LOCK_SECONDS: Final = 10
SWEEP_SECONDS: Final = 60.0
_TURN_SECONDS: Final = 1.0
_CLEAN_SECONDS: Final = 5.0
_CLEAN_KEPT_SECONDS: Final = 60
_DROPPED_AT_ONCE: Final = 1_000
_LOCK: Final = "chatd:jobs:upkeep"
_HOLD: Final = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
"""
_LET_GO: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 0
"""


class Upkeep:
    """A thread. Made, started and stopped on the loop that the sweep runs on."""

    def __init__(self, url: str, sweep: Callable[[], Awaitable[None]]) -> None:
        self._redis = connect(url)
        queues = [kind.queue for kind in KINDS]
        self._scheduler = RQScheduler(
            queues,
            connection=self._redis,
            serializer=jobs_rq.SERIALIZER,
            logging_level="WARNING",
        )
        # Its own locks outlive their holder by a minute; ours holds for it too.
        self._scheduler.prepare_registries(queues)
        self._sweep = sweep
        self._loop = asyncio.get_running_loop()
        self._token = secrets.token_hex(8)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        self._sweeping: Future[None] | None = None
        self._swept_at = -SWEEP_SECONDS
        self._cleaned_at = -_CLEAN_SECONDS

    def start(self) -> None:
        self._thread.start()

    async def stop(self) -> None:
        self._stopping.set()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        is_away = False
        while not self._stopping.wait(_TURN_SECONDS):
            try:
                self._turn()
                is_away = False
            except FAILURES as error:
                if not is_away:
                    logger.warning("the job queue is away: {}", error)
                is_away = True
            except Exception:
                logger.exception("a bug in the upkeep of the job queue")
        self._end_sweep()
        try:
            self._redis.eval(_LET_GO, 1, _LOCK, self._token)
        except FAILURES:
            pass
        self._scheduler.connection.close()
        self._redis.close()

    def _turn(self) -> None:
        if not self._redis.eval(_HOLD, 1, _LOCK, self._token, LOCK_SECONDS):
            self._end_sweep()
            return
        self._scheduler.enqueue_scheduled_jobs()  # type: ignore[no-untyped-call]
        now = time.monotonic()
        if now >= self._cleaned_at + _CLEAN_SECONDS:
            self._cleaned_at = now
            self._clean()
        if now >= self._swept_at + SWEEP_SECONDS and self._is_idle():
            self._swept_at = now
            self._sweeping = asyncio.run_coroutine_threadsafe(self._run_sweep(), self._loop)

    def _clean(self) -> None:
        """Put back the jobs of workers that died, and drop what is too old or too much."""
        worker = SimpleWorker(
            [], connection=self._redis, prepare_for_work=False, serializer=jobs_rq.SERIALIZER
        )
        for kind in KINDS:
            queue = jobs_rq.queue_of(kind, self._redis)
            clean_registries(queue)
            worker_registration.clean_worker_registry(queue)
            queue.intermediate_queue.cleanup(worker, queue)
            # It counts what it puts back, for a worker that there is not.
            self._redis.expire(worker.key, _CLEAN_KEPT_SECONDS)
            dead = queue.failed_job_registry
            too_many = min(dead.get_job_count() - DEAD_LETTERS, _DROPPED_AT_ONCE)
            for job_id in dead.get_job_ids(0, too_many - 1) if too_many > 0 else ():
                dead.remove(job_id)
                Job(job_id, self._redis).delete()

    def _is_idle(self) -> bool:
        """Whether what a sweep would find is lost, and does not just wait its turn."""
        if self._sweeping is not None and not self._sweeping.done():
            return False
        return jobs_rq.queue_of(NOTE, self._redis).count == 0

    async def _run_sweep(self) -> None:
        try:
            await self._sweep()
        except Exception:
            logger.exception("a bug in the sweep")

    def _end_sweep(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
