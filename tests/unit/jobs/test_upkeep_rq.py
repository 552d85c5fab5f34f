"""chatd.jobs.upkeep_rq"""

import asyncio
import uuid
from collections.abc import Iterator

import pytest
from redis import Redis

from chatd.fabric import jobs_rq
from chatd.fabric.jobs_rq import KINDS, NOTE, PUSH
from chatd.fabric.queue_client_redis import connect
from chatd.jobs import dead_letters_rq
from chatd.jobs import upkeep_rq as module
from chatd.jobs.upkeep_rq import Upkeep
from tests.support.proxy import Proxy
from tests.support.redis_database import own_database
from tests.support.running import on_a_loop, until
from tests.support.services import service

LOCK = "chatd:jobs:upkeep"


@pytest.fixture
def url() -> str:
    return own_database(service("redis-queue")["CHATD_QUEUE_REDIS_URL"])


@pytest.fixture
def redis(url: str) -> Iterator[Redis]:
    with connect(url) as redis:
        redis.flushdb()
        yield redis


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TURN_SECONDS", 0.01)
    monkeypatch.setattr(module, "_CLEAN_SECONDS", 0.0)
    monkeypatch.setattr(module, "SWEEP_SECONDS", 0.0)


class Sweeps:
    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def __call__(self) -> None:
        self.begun += 1
        try:
            await self.is_open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


@on_a_loop
async def test_one_at_a_time_does_it_and_another_goes_on(url: str, redis: Redis) -> None:
    ones, others = Sweeps(), Sweeps()
    one, other = Upkeep(url, ones), Upkeep(url, others)
    one.start()
    await until(lambda: ones.begun > 3)
    holder = redis.get(LOCK)
    other.start()
    turn = ones.begun
    await until(lambda: ones.begun > turn + 3)
    assert (others.begun, redis.get(LOCK)) == (0, holder)
    await one.stop()
    await until(lambda: others.begun > 3)
    await other.stop()
    assert redis.get(LOCK) is None


@on_a_loop
async def test_the_lock_ends_with_who_died(
    url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_SECONDS", 1)
    redis.set(LOCK, "of somebody who died", ex=1)
    sweeps = Sweeps()
    upkeep = Upkeep(url, sweeps)
    upkeep.start()
    await until(lambda: sweeps.begun > 0)
    assert redis.get(LOCK) != b"of somebody who died"
    assert redis.ttl(LOCK) <= 1
    await upkeep.stop()


@on_a_loop
async def test_a_sweep_ends_with_the_lock(url: str, redis: Redis) -> None:
    sweeps = Sweeps()
    sweeps.is_open.clear()
    upkeep = Upkeep(url, sweeps)
    upkeep.start()
    await until(lambda: sweeps.begun == 1)
    redis.set(LOCK, "somebody else", ex=100)
    await until(lambda: sweeps.cancelled == 1)
    redis.delete(LOCK)
    await until(lambda: sweeps.begun == 2)
    await upkeep.stop()
    await until(lambda: sweeps.cancelled == 2)


@on_a_loop
async def test_a_sweep_waits_for_the_queue_to_be_empty(url: str, redis: Redis) -> None:
    sweeps = Sweeps()
    jobs_rq.put(NOTE, [["7", 1, 1]], redis)
    upkeep = Upkeep(url, sweeps)
    upkeep.start()
    # What is scheduled shows that it turns.
    jobs_rq.put(PUSH, [["bob", "7", "t"]], redis, after_seconds=-1)
    await until(lambda: len(jobs_rq.queue_of(PUSH, redis)) == 1)
    jobs_rq.put(PUSH, [["bob", "7", "t"]], redis, after_seconds=-1)
    await until(lambda: len(jobs_rq.queue_of(PUSH, redis)) == 2)
    assert sweeps.begun == 0
    redis.delete(jobs_rq.queue_of(NOTE, redis).key)
    await until(lambda: sweeps.begun > 0)
    await upkeep.stop()


@on_a_loop
async def test_what_was_scheduled_is_begun_in_its_time(url: str, redis: Redis) -> None:
    upkeep = Upkeep(url, Sweeps())
    jobs_rq.put(NOTE, [["8", 1, 1]], redis, after_seconds=1_000)
    jobs_rq.put(NOTE, [["7", 1, 1], ["7", 2, 2]], redis, after_seconds=1)
    upkeep.start()
    queue = jobs_rq.queue_of(NOTE, redis)
    await until(lambda: len(queue) == 1)
    assert queue.jobs[0].args == [["7", 1, 1], ["7", 2, 2]]
    assert len(queue.scheduled_job_registry) == 1
    await upkeep.stop()


def dead(redis: Redis, count: int) -> list[str]:
    """Jobs that were given up, oldest first."""
    queue = jobs_rq.queue_of(NOTE, redis)
    ids: list[str] = []
    for n in range(count):
        job = queue.create_job(NOTE.function, args=[["7", n, n]], job_id=uuid.uuid4().hex)
        job.origin = queue.name
        queue.failed_job_registry.add(job, ttl=1_000 + n)
        ids.append(job.id)
    return ids


@pytest.mark.parametrize("limit", [0, 1, 4, 5, 6, 100])
@on_a_loop
async def test_the_oldest_dead_letters_are_dropped(
    url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(module, "DEAD_LETTERS", limit)
    ids = dead(redis, 5)
    upkeep = Upkeep(url, Sweeps())
    upkeep._clean()
    left = ids[max(5 - limit, 0) :]
    assert sorted(one.job_id for one in dead_letters_rq.listed(redis)) == sorted(left)
    assert len(redis.keys("rq:job:*")) == len(left)


@on_a_loop
async def test_dead_letters_end(url: str, redis: Redis) -> None:
    (job_id,) = dead(redis, 1)
    registry = jobs_rq.queue_of(NOTE, redis).failed_job_registry
    redis.zadd(registry.key, {job_id: 1})
    Upkeep(url, Sweeps())._clean()
    assert dead_letters_rq.listed(redis) == []


@on_a_loop
async def test_it_goes_on_when_redis_is_back(url: str, redis: Redis) -> None:
    with Proxy.before(url) as between:
        sweeps = Sweeps()
        upkeep = Upkeep(own_database(between.url), sweeps)
        upkeep.start()
        await until(lambda: sweeps.begun > 0)
        between.cut()
        between.heal()
        turn = sweeps.begun
        await until(lambda: sweeps.begun > turn)
        await upkeep.stop()


def test_the_kinds_have_queues_of_their_own() -> None:
    assert len({kind.queue for kind in KINDS}) == len(KINDS)
