"""chatd.jobs.crew_rq, and with it functions_rq and dead_letters_rq."""

import asyncio
from collections.abc import Iterator

import pytest
from redis import Redis

from chatd.errors import BackendError
from chatd.fabric import jobs_rq
from chatd.fabric.jobs_rq import KINDS, NOTE, PUSH
from chatd.fabric.offline_queue import Handlers, OfflineJob, PushJob
from chatd.fabric.queue_client_redis import connect
from chatd.jobs import crew_rq, dead_letters_rq, functions_rq
from chatd.jobs.crew_rq import Crew
from chatd.jobs.dead_letters_rq import NoSuchLetter
from tests.support.proxy import Proxy
from tests.support.redis_database import own_database
from tests.support.running import on_a_loop, until
from tests.support.services import service
from tests.support.worked_queue import worked_queue

BRIEF = NOTE._replace(pauses=(1,))
"""A job of this kind is given up after its second attempt."""
JOBS = [OfflineJob(f"{n}", n, n + 1) for n in range(6)]


class Worker:
    def __init__(self) -> None:
        self.begun: list[OfflineJob] = []
        self.done: list[OfflineJob] = []
        self.fails: set[OfflineJob] = set()
        self.is_open = asyncio.Event()
        self.is_open.set()

    @property
    def handlers(self) -> Handlers:
        return Handlers(self._note, self._push)

    async def _note(self, job: OfflineJob) -> None:
        self.begun.append(job)
        await self.is_open.wait()
        if job in self.fails:
            raise BackendError("the store is down")
        self.done.append(job)

    async def _push(self, job: PushJob) -> None:
        raise AssertionError("no push was asked for")


@pytest.fixture
def url() -> str:
    return own_database(service("redis-queue")["CHATD_QUEUE_REDIS_URL"])


@pytest.fixture
def redis(url: str) -> Iterator[Redis]:
    with connect(url) as redis:
        redis.flushdb()
        yield redis


@pytest.mark.slow
@on_a_loop
async def test_what_fails_to_the_end_is_a_dead_letter_until_it_is_put_back(
    url: str, redis: Redis
) -> None:
    async with worked_queue(url) as queue:
        worker = Worker()
        worker.fails.update(JOBS)
        await queue.start(worker.handlers)
        jobs_rq.put(BRIEF, JOBS, redis)
        await until(lambda: len(dead_letters_rq.listed(redis)) == 1)
        assert sorted(worker.begun) == sorted(JOBS * 2)
        (letter,) = dead_letters_rq.listed(redis)
        assert letter.job == "chatd-note: 0 0 1, 1 1 2, 2 2 3 and 3 more"
        assert letter.error == "the store is down"
        assert letter.failed_at_ms > 1_700_000_000_000
        with pytest.raises(NoSuchLetter, match="nothing"):
            dead_letters_rq.put_back(redis, [letter.job_id, "nothing"])
        assert len(dead_letters_rq.listed(redis)) == 1
        worker.fails.clear()
        assert dead_letters_rq.put_back(redis, [letter.job_id]) == 1
        await until(lambda: sorted(worker.done) == JOBS)
        assert dead_letters_rq.listed(redis) == []
        assert dead_letters_rq.put_back(redis, []) == 0
        await queue.stop()


@pytest.mark.slow
@on_a_loop
async def test_what_is_put_back_has_all_its_attempts_again(url: str, redis: Redis) -> None:
    async with worked_queue(url) as queue:
        worker = Worker()
        worker.fails.update(JOBS)
        await queue.start(worker.handlers)
        for job in JOBS[:3]:
            jobs_rq.put(BRIEF, [job], redis)
        await until(lambda: len(dead_letters_rq.listed(redis)) == 3)
        letters = dead_letters_rq.listed(redis)
        assert [one.failed_at_ms for one in letters] == sorted(
            (one.failed_at_ms for one in letters), reverse=True
        )
        assert dead_letters_rq.put_back(redis, []) == 3
        await until(lambda: len(worker.begun) == 9)
        worker.fails.clear()
        await until(lambda: sorted(worker.done) == JOBS[:3])
        await queue.stop()


@pytest.mark.slow
@on_a_loop
async def test_of_many_only_those_that_failed_are_done_again(url: str, redis: Redis) -> None:
    async with worked_queue(url) as queue:
        worker = Worker()
        worker.fails = {JOBS[1], JOBS[4]}
        await queue.start(worker.handlers)
        jobs_rq.put(NOTE, JOBS, redis)
        scheduled = jobs_rq.queue_of(NOTE, redis).scheduled_job_registry
        await until(lambda: len(scheduled) == 2)
        worker.fails = {JOBS[4]}
        await until(lambda: worker.begun.count(JOBS[4]) == 2)
        await until(lambda: JOBS[1] in worker.done)
        worker.fails = set()
        jobs_rq.put(NOTE, [JOBS[4]], redis)
        await until(lambda: len(worker.done) == len(JOBS))
        assert [worker.begun.count(JOBS[n]) for n in (0, 1, 2, 3, 5)] == [1, 2, 1, 1, 1]
        await queue.stop()


def test_a_function_without_its_worker_says_so() -> None:
    for function in (functions_rq.note, functions_rq.push):
        with pytest.raises(RuntimeError, match="chatd worker"):
            function(["7", 1, 1])
    assert {kind.function for kind in KINDS} == {
        f"{function.__module__}.{function.__name__}"
        for function in (functions_rq.note, functions_rq.push)
    }


@on_a_loop
async def test_a_stop_waits_for_what_was_begun_and_begins_nothing(url: str, redis: Redis) -> None:
    worker = Worker()
    worker.is_open.clear()
    crew = Crew(url, worker.handlers, push_pause_seconds=0)
    crew.start()
    jobs_rq.put(NOTE, [JOBS[0]], redis)
    await until(lambda: worker.begun == [JOBS[0]])
    stopping = asyncio.create_task(crew.stop(20))
    await asyncio.sleep(0)
    jobs_rq.put(NOTE, [JOBS[1]], redis)
    worker.is_open.set()
    await stopping
    # Another thread may have been about to take it when the stop came.
    assert JOBS[0] in worker.done
    left = [item for job in jobs_rq.queue_of(NOTE, redis).jobs for item in job.args]
    assert len(left) + len(worker.done) == 2
    assert jobs_rq.queue_of(NOTE, redis).started_job_registry.get_job_ids() == []


@pytest.mark.slow
@on_a_loop
async def test_what_a_stop_cannot_wait_for_is_done_again(url: str, redis: Redis) -> None:
    worker = Worker()
    worker.is_open.clear()
    crew = Crew(url, worker.handlers, push_pause_seconds=0)
    crew.start()
    jobs_rq.put(NOTE, JOBS, redis)
    await until(lambda: len(worker.begun) == len(JOBS))
    await crew.stop(0)
    assert worker.done == []
    async with worked_queue(url, empty=False) as queue:
        worker.is_open.set()
        await queue.start(worker.handlers)
        await until(lambda: sorted(worker.done) == JOBS)
        await queue.stop()


@pytest.mark.slow
@on_a_loop
async def test_a_job_that_takes_long_is_not_taken_for_abandoned(
    url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew_rq, "LEASE_SECONDS", 2)
    monkeypatch.setattr(crew_rq, "_RENEW_SECONDS", 0.2)
    async with worked_queue(url) as queue:
        worker = Worker()
        worker.is_open.clear()
        await queue.start(worker.handlers)
        jobs_rq.put(NOTE, JOBS[:1], redis)
        key = jobs_rq.queue_of(NOTE, redis).started_job_registry.key

        def lease() -> float:
            """When the lease of the job ends."""
            for entry in redis.zrange(key, 0, 0):
                assert isinstance(entry, bytes)
                return float(redis.zscore(key, entry) or 0)
            return 0.0

        await until(lambda: lease() > 0)
        first = lease()
        await until(lambda: lease() > first + 2)
        queue.upkeep._clean()
        assert len(jobs_rq.queue_of(NOTE, redis)) == 0
        assert worker.begun == JOBS[:1]
        worker.is_open.set()
        await until(lambda: worker.done == JOBS[:1])
        await queue.stop()


@pytest.mark.slow
@on_a_loop
async def test_workers_go_on_when_redis_is_back(url: str, redis: Redis) -> None:
    with Proxy.before(url) as between:
        worker = Worker()
        crew = Crew(own_database(between.url), worker.handlers, push_pause_seconds=0)
        crew.start()
        jobs_rq.put(NOTE, JOBS[:1], redis)
        await until(lambda: worker.done == JOBS[:1])
        between.cut()
        jobs_rq.put(NOTE, JOBS[1:3], redis)
        between.heal()
        await until(lambda: sorted(worker.done) == JOBS[:3])
        between.reset()
        jobs_rq.put(NOTE, JOBS[3:], redis)
        await until(lambda: sorted(set(worker.done)) == JOBS)
        await crew.stop(20)


@pytest.mark.slow
@on_a_loop
async def test_a_bug_in_a_job_is_a_dead_letter_too(
    url: str, redis: Redis, error_lines: list[str]
) -> None:
    async with worked_queue(url) as queue:
        worker = Worker()
        await queue.start(worker.handlers)
        jobs_rq.put(BRIEF, [["7", 1]], redis)
        jobs_rq.put(PUSH._replace(pauses=(1,)), [["bob"]], redis)
        await until(lambda: len(dead_letters_rq.listed(redis)) == 2)
        assert {letter.job for letter in dead_letters_rq.listed(redis)} == {
            "chatd-note: 7 1",
            "chatd-push: bob",
        }
        assert error_lines
        await queue.stop()
