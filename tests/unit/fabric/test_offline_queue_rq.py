"""chatd.fabric.offline_queue_rq: what is its own. The rest is the contract of the port."""

import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis import Redis

from chatd.errors import BackendError
from chatd.fabric import jobs_rq
from chatd.fabric import offline_queue_rq as module
from chatd.fabric.jobs_rq import NOTE, PUSH, Kind
from chatd.fabric.offline_queue import Handlers, OfflineJob, PushJob
from chatd.fabric.offline_queue_rq import RqOfflineQueue
from chatd.fabric.queue_client_redis import connect
from chatd.metrics import Metrics
from tests.support.proxy import Proxy
from tests.support.redis_database import database_number, own_database
from tests.support.running import on_a_loop, until
from tests.support.services import service

JOBS = [OfflineJob(f"{n}", n, n + 1) for n in range(250)]


async def nobody(_: object) -> None:
    raise AssertionError("another process does the jobs")


class Desk:
    """A queue that nobody works, and its Redis."""

    def __init__(self, queue: RqOfflineQueue, metrics: Metrics, redis: Redis) -> None:
        self.queue = queue
        self.metrics = metrics
        self.redis = redis

    def waiting(self, kind: Kind) -> list[list[str | int]]:
        """Everything that waits to be begun."""
        jobs = jobs_rq.queue_of(kind, self.redis).jobs
        return [item for job in jobs for item in job.args]

    def scheduled(self, kind: Kind) -> int:
        return len(jobs_rq.queue_of(kind, self.redis).scheduled_job_registry)


@asynccontextmanager
async def desk(proxy: Proxy | None = None, *, pause: int = 0) -> AsyncIterator[Desk]:
    url = own_database(service("redis-queue")["CHATD_QUEUE_REDIS_URL"])
    metrics = Metrics()
    with connect(url) as redis:
        redis.flushdb()
        through = url if proxy is None else own_database(proxy.url)
        queue = RqOfflineQueue(through, metrics, push_pause_seconds=pause)
        await queue.start(Handlers(nobody, nobody))
        try:
            yield Desk(queue, metrics, redis)
        finally:
            await queue.stop()


def proxy() -> Proxy:
    return Proxy.before(service("redis-queue")["CHATD_QUEUE_REDIS_URL"])


@on_a_loop
async def test_many_jobs_are_few_in_redis_and_hold_ids_in_json() -> None:
    async with desk() as here:
        here.queue.enqueue(JOBS)
        await until(lambda: len(here.waiting(NOTE)) == len(JOBS))
        assert sorted(here.waiting(NOTE)) == sorted(list(job) for job in JOBS)
        queue = jobs_rq.queue_of(NOTE, here.redis)
        assert queue.count == 3
        data = here.redis.hget(queue.jobs[0].key, "data")
        assert isinstance(data, bytes)
        assert json.loads(zlib.decompress(data))[0] == "chatd.jobs.functions_rq.note"
        assert queue.jobs[0].ttl == jobs_rq.QUEUED_SECONDS
        assert 0 < here.redis.ttl(queue.jobs[0].key) <= jobs_rq.QUEUED_SECONDS
        assert here.metrics.offline_jobs_dropped == 0


@on_a_loop
async def test_pushes_of_many_are_few_in_redis() -> None:
    async with desk(pause=100) as here:
        many = [PushJob(f"user{n}", "7") for n in range(120)]
        await here.queue.push(many)
        await here.queue.push(many)
        assert jobs_rq.queue_of(PUSH, here.redis).count == 3
        assert [item[:2] for item in here.waiting(PUSH)] == [list(job) for job in many]
        assert len({item[2] for item in here.waiting(PUSH)}) == len(many)


@on_a_loop
async def test_what_waits_for_redis_is_one_range_a_conversation() -> None:
    with proxy() as between:
        async with desk(between) as here:
            here.queue.enqueue(JOBS[:1])
            await until(lambda: len(here.waiting(NOTE)) == 1)
            between.stall()
            here.queue.enqueue([OfflineJob("a", 5, 6)])
            await until(lambda: here.metrics.offline_jobs_waiting == 1)
            await until(lambda: not here.queue._waiting)
            # The thread is under way with it. These wait for the thread:
            for n in range(3, 100):
                here.queue.enqueue([OfflineJob("b", n, n), OfflineJob("c", 1, 1)])
            here.queue.enqueue([OfflineJob("b", 1, 2)])
            assert here.metrics.offline_jobs_waiting == 2
            between.heal()
            await until(lambda: len(here.waiting(NOTE)) == 4)
            assert here.waiting(NOTE)[1:] == [["a", 5, 6], ["b", 1, 99], ["c", 1, 1]]


@on_a_loop
async def test_at_the_limit_new_conversations_are_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CONVERSATIONS", 3)
    with proxy() as between:
        async with desk(between) as here:
            between.stall()
            here.queue.enqueue(JOBS[:1])
            await until(lambda: not here.queue._waiting)
            here.queue.enqueue(JOBS[:5])
            here.queue.enqueue([OfflineJob(JOBS[0].conversation_id, 0, 9)])
            assert here.metrics.offline_jobs_dropped == 2
            between.heal()
            await until(lambda: len(here.waiting(NOTE)) == 4)
            assert here.metrics.offline_jobs_dropped == 2


@on_a_loop
async def test_a_full_queue_takes_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_rq, "QUEUED", 2)
    async with desk() as here:
        here.queue.enqueue(JOBS)
        await until(lambda: here.metrics.offline_jobs_dropped == 50)
        assert len(here.waiting(NOTE)) == 200
        here.queue.enqueue(JOBS[:3])
        await until(lambda: here.metrics.offline_jobs_dropped == 53)
        with pytest.raises(BackendError, match="full"):
            await here.queue.put(JOBS[:1])
        here.redis.flushdb()
        here.queue.enqueue(JOBS[:3])
        await until(lambda: len(here.waiting(NOTE)) == 3)


@on_a_loop
async def test_a_full_queue_takes_no_pushes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_rq, "QUEUED", 1)
    async with desk() as here:
        many = [PushJob(f"user{n}", "7") for n in range(51)]
        with pytest.raises(BackendError, match="full"):
            await here.queue.push(many)
        here.redis.delete(jobs_rq.queue_of(PUSH, here.redis).key)
        await here.queue.push(many[:1])
        assert [item[:2] for item in here.waiting(PUSH)] == [list(many[0])], "it was not blocked"


@on_a_loop
async def test_without_redis_jobs_are_dropped_and_it_goes_on_by_itself() -> None:
    with proxy() as between:
        async with desk(between) as here:
            here.queue.enqueue(JOBS[:1])
            await until(lambda: len(here.waiting(NOTE)) == 1)
            between.cut()
            here.queue.enqueue(JOBS[:5])
            await until(lambda: here.metrics.offline_jobs_dropped == 5)
            with pytest.raises(BackendError):
                await here.queue.push([PushJob("bob", "7")])
            with pytest.raises(BackendError):
                await here.queue.put(JOBS[:1])
            between.heal()
            here.queue.enqueue(JOBS[5:7])
            await until(lambda: len(here.waiting(NOTE)) == 3)
            await here.queue.push([PushJob("bob", "7")])
            assert len(here.waiting(PUSH)) == 1
            assert here.metrics.offline_jobs_dropped == 5


def may(redis: Redis, user: str, command: str) -> None:
    """Let a user do everything, but for a command or with it."""
    redis.acl_setuser(
        user,
        enabled=True,
        nopass=True,
        keys=["*"],
        channels=["*"],
        categories=["+@all"],
        commands=[command],
    )


@on_a_loop
async def test_what_redis_refuses_is_dropped() -> None:
    url = own_database(service("redis-queue")["CHATD_QUEUE_REDIS_URL"])
    async with desk() as here:
        # As who may not write is refused, so is who writes when no memory is left.
        user = f"reader{database_number()}"
        may(here.redis, user, "-hset")
        metrics = Metrics()
        queue = RqOfflineQueue(url.replace("//", f"//{user}:any@"), metrics)
        await queue.start(Handlers(nobody, nobody))
        try:
            queue.enqueue(JOBS[:3])
            await until(lambda: metrics.offline_jobs_dropped == 3)
            with pytest.raises(BackendError):
                await queue.push([PushJob("bob", "7")])
            may(here.redis, user, "+hset")
            await queue.push([PushJob("bob", "7")])
            assert len(here.waiting(PUSH)) == 1
        finally:
            await queue.stop()
            here.redis.acl_deluser(user)


@pytest.mark.slow
@on_a_loop
async def test_a_redis_that_does_not_answer_does_not_hold_up_the_end() -> None:
    with proxy() as between:
        async with desk(between) as here:
            between.stall()
            here.queue.enqueue(JOBS[:1])
            await until(lambda: not here.queue._waiting)
            await here.queue.stop()
