"""chatd.fabric.offline_queue_memory: what is its own. The rest is the contract of the port."""

import asyncio

import pytest

from chatd.errors import BackendError
from chatd.fabric import offline_queue_memory as module
from chatd.fabric.offline_queue import Handlers, OfflineJob, PushJob
from chatd.fabric.offline_queue_memory import MemoryOfflineQueue
from chatd.metrics import Metrics
from tests.support.hand_loop import on_a_hand_loop, pass_seconds
from tests.support.running import on_a_loop, turns

JOBS = [OfflineJob(f"{n}", 1, 1) for n in range(9)]


async def nobody(job: PushJob) -> None:
    raise AssertionError("no push was asked for")


class Worker:
    def __init__(self) -> None:
        self.done: list[OfflineJob] = []
        self.is_open = asyncio.Event()

    async def __call__(self, job: OfflineJob) -> None:
        await self.is_open.wait()
        self.done.append(job)


@on_a_loop
async def test_jobs_are_done_one_after_the_other_in_their_order() -> None:
    metrics = Metrics()
    queue, worker = MemoryOfflineQueue(metrics), Worker()
    await queue.start(Handlers(worker, nobody))
    queue.enqueue(JOBS)
    await turns()
    assert (metrics.offline_jobs, metrics.offline_jobs_waiting) == (1, 8)
    worker.is_open.set()
    await queue.stop()
    assert worker.done == JOBS
    assert (metrics.offline_jobs, metrics.offline_jobs_waiting) == (9, 0)


@on_a_loop
async def test_at_the_limit_new_jobs_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "JOBS_WAITING", 4)
    metrics = Metrics()
    queue, worker = MemoryOfflineQueue(metrics), Worker()
    await queue.start(Handlers(worker, nobody))
    queue.enqueue(JOBS[:3])
    queue.enqueue(JOBS[3:])
    assert (metrics.offline_jobs_waiting, metrics.offline_jobs_dropped) == (4, 5)
    worker.is_open.set()
    await queue.stop()
    assert worker.done == JOBS[:4]


@on_a_hand_loop
async def test_a_job_that_does_not_end_does_not_hold_up_the_end() -> None:
    queue, worker = MemoryOfflineQueue(Metrics()), Worker()
    await queue.start(Handlers(worker, nobody))
    queue.enqueue(JOBS)
    await turns()
    stopping = asyncio.create_task(queue.stop())
    await pass_seconds(60)
    assert stopping.done()
    worker.is_open.set()
    await turns()
    assert worker.done == []


@on_a_loop
async def test_a_failed_job_is_not_tried_again() -> None:
    tried: list[OfflineJob] = []

    async def fail(job: OfflineJob) -> None:
        tried.append(job)
        raise BackendError("down")

    queue = MemoryOfflineQueue(Metrics())
    await queue.start(Handlers(fail, nobody))
    queue.enqueue(JOBS[:2])
    await queue.stop()
    assert tried == JOBS[:2]
