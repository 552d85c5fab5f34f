"""Port OfflineQueue."""

import asyncio

from chatd.errors import BackendError
from chatd.fabric.offline_queue import OfflineJob
from tests.contracts.conftest import QueueBackend
from tests.support.running import on_a_loop, turns, until

JOBS = [OfflineJob(f"{n}", n, n + 1) for n in range(20)]


class Worker:
    """Notes the jobs that it did; those of `fails` it cannot do, and while it is not `is_open`
    it does none."""

    def __init__(self, *fails: OfflineJob) -> None:
        self.fails = fails
        self.done: list[OfflineJob] = []
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def __call__(self, job: OfflineJob) -> None:
        await self.is_open.wait()
        if job in self.fails:
            raise BackendError("down")
        self.done.append(job)


async def done(worker: Worker, jobs: list[OfflineJob]) -> None:
    """A job may be done twice."""
    await until(lambda: set(worker.done) == set(jobs))


@on_a_loop
async def test_what_is_enqueued_is_done(queues: QueueBackend) -> None:
    async with queues.open() as queue:
        worker = Worker()
        await queue.start(worker)
        await queue.enqueue(JOBS[:5])
        await queue.enqueue([])
        await queue.enqueue(JOBS[5:])
        await done(worker, JOBS)
        await queue.enqueue(JOBS[:1])
        await until(lambda: len(worker.done) > len(JOBS))
        await queue.stop()


@on_a_loop
async def test_nobody_waits_for_a_job(queues: QueueBackend) -> None:
    async with queues.open() as queue:
        worker = Worker()
        worker.is_open.clear()
        await queue.start(worker)
        await queue.enqueue(JOBS)
        await queue.enqueue(JOBS[:3])
        assert worker.done == []
        worker.is_open.set()
        await done(worker, JOBS)
        await queue.stop()


@on_a_loop
async def test_a_job_that_fails_does_not_take_the_others(queues: QueueBackend) -> None:
    async with queues.open() as queue:
        worker = Worker(JOBS[3], JOBS[19])
        await queue.start(worker)
        await queue.enqueue(JOBS)
        await done(worker, [job for job in JOBS if job not in worker.fails])
        await queue.enqueue(JOBS[:1])
        await queue.stop()


@on_a_loop
async def test_what_waits_is_done_before_the_end(queues: QueueBackend) -> None:
    async with queues.open() as queue:
        worker = Worker()
        worker.is_open.clear()
        await queue.start(worker)
        await queue.enqueue(JOBS)
        stopping = asyncio.create_task(queue.stop())
        await turns()
        worker.is_open.set()
        await stopping
        assert set(worker.done) == set(JOBS)


@on_a_loop
async def test_a_queue_that_did_nothing_stops(queues: QueueBackend) -> None:
    async with queues.open() as queue:
        await queue.start(Worker())
        await queue.stop()


@on_a_loop
async def test_a_job_is_what_was_enqueued(queues: QueueBackend) -> None:
    async with queues.open() as queue:
        worker = Worker()
        await queue.start(worker)
        await queue.enqueue([OfflineJob("alice-bob", 2**40, 2**53 - 1)])
        await until(lambda: bool(worker.done))
        job = worker.done[0]
        assert (job.conversation_id, job.first, job.last) == ("alice-bob", 2**40, 2**53 - 1)
        await queue.stop()
