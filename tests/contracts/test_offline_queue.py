"""Port OfflineQueue."""

import asyncio

import pytest

from chatd.errors import BackendError
from chatd.fabric.offline_queue import Handlers, OfflineJob, PushJob, TryAgain
from tests.contracts.conftest import QueueBackend
from tests.support.running import on_a_loop, turns, until

JOBS = [OfflineJob(f"{n}", n, n + 1) for n in range(20)]
BOB, CAROL = PushJob("bob", "alice-bob"), PushJob("carol", "7")


class Worker:
    """Notes the jobs that it did; those of `fails` it cannot do, and while it is not `is_open`
    it does none."""

    def __init__(self, *fails: OfflineJob) -> None:
        self.fails = fails
        self.done: list[OfflineJob] = []
        self.begun: list[PushJob] = []
        self.begun_at: list[float] = []
        self.pushed: list[PushJob] = []
        self.refusals: list[Exception] = []
        """What the next pushes end with."""
        self.is_open = asyncio.Event()
        self.is_open.set()

    @property
    def handlers(self) -> Handlers:
        return Handlers(self.note, self.push)

    async def note(self, job: OfflineJob) -> None:
        await self.is_open.wait()
        if job in self.fails:
            raise BackendError("down")
        self.done.append(job)

    async def push(self, job: PushJob) -> None:
        self.begun.append(job)
        self.begun_at.append(asyncio.get_running_loop().time())
        await self.is_open.wait()
        if self.refusals:
            raise self.refusals.pop()
        self.pushed.append(job)


async def done(worker: Worker, jobs: list[OfflineJob]) -> None:
    """A job may be done twice."""
    await until(lambda: set(worker.done) == set(jobs))


@on_a_loop
async def test_what_is_enqueued_is_done(queues: QueueBackend) -> None:
    async with queues.open() as queue:
        worker = Worker()
        await queue.start(worker.handlers)
        queue.enqueue(JOBS[:5])
        queue.enqueue([])
        queue.enqueue(JOBS[5:])
        await done(worker, JOBS)
        queue.enqueue(JOBS[:1])
        await until(lambda: len(worker.done) > len(JOBS))
        await queue.stop()


@on_a_loop
async def test_nobody_waits_for_a_job(queues: QueueBackend) -> None:
    async with queues.open() as queue:
        worker = Worker()
        worker.is_open.clear()
        await queue.start(worker.handlers)
        queue.enqueue(JOBS)
        queue.enqueue(JOBS[:3])
        assert worker.done == []
        worker.is_open.set()
        await done(worker, JOBS)
        await queue.stop()


@on_a_loop
async def test_a_job_that_fails_does_not_take_the_others(queues: QueueBackend) -> None:
    async with queues.open() as queue:
        worker = Worker(JOBS[3], JOBS[19])
        await queue.start(worker.handlers)
        queue.enqueue(JOBS)
        await done(worker, [job for job in JOBS if job not in worker.fails])
        queue.enqueue(JOBS[:1])
        await queue.stop()


@on_a_loop
async def test_what_waits_is_done_though_the_queue_ends(queues: QueueBackend) -> None:
    async with queues.open() as queue:
        worker = Worker()
        worker.is_open.clear()
        await queue.start(worker.handlers)
        queue.enqueue(JOBS)
        stopping = asyncio.create_task(queue.stop())
        await turns()
        worker.is_open.set()
        await stopping
        await done(worker, JOBS)


@on_a_loop
async def test_a_queue_that_did_nothing_stops(queues: QueueBackend) -> None:
    async with queues.open() as queue:
        await queue.start(Worker().handlers)
        await queue.stop()


@on_a_loop
async def test_a_job_is_what_was_enqueued(queues: QueueBackend) -> None:
    async with queues.open() as queue:
        worker = Worker()
        await queue.start(worker.handlers)
        queue.enqueue([OfflineJob("alice-bob", 2**40, 2**53 - 1)])
        await until(lambda: bool(worker.done))
        job = worker.done[0]
        assert (job.conversation_id, job.first, job.last) == ("alice-bob", 2**40, 2**53 - 1)
        await queue.stop()


@on_a_loop
async def test_pushes_are_made(queues: QueueBackend) -> None:
    async with queues.open() as queue:
        worker = Worker()
        await queue.start(worker.handlers)
        await queue.push([])
        await queue.push([BOB, CAROL])
        await until(lambda: sorted(worker.pushed) == [BOB, CAROL])
        await queue.push([BOB])
        await until(lambda: sorted(worker.pushed) == [BOB, BOB, CAROL])
        await queue.stop()


@on_a_loop
async def test_one_push_waits_for_what_comes_meanwhile(queues: QueueBackend) -> None:
    async with queues.open() as queue:
        worker = Worker()
        worker.is_open.clear()
        await queue.start(worker.handlers)
        await queue.push([BOB])
        await until(lambda: worker.begun == [BOB])
        worker.is_open.set()
        for _ in range(3):
            # It has begun, and may have looked: one more is to look again.
            await queue.push([BOB, BOB])
        await until(lambda: len(worker.pushed) >= 2)
        await queue.push([CAROL])
        await until(lambda: CAROL in worker.pushed)
        await queue.stop()


@pytest.mark.slow
@on_a_loop
async def test_pushes_of_a_conversation_keep_their_distance(queues: QueueBackend) -> None:
    async with queues.open(push_pause_seconds=2) as queue:
        worker = Worker()
        await queue.start(worker.handlers)
        await queue.push([BOB])
        await until(lambda: worker.pushed == [BOB])
        await queue.push([BOB] * 5)
        await until(lambda: worker.pushed == [BOB, BOB])
        await queue.push([CAROL, BOB, CAROL])
        await until(lambda: sorted(worker.pushed) == [BOB, BOB, BOB, CAROL])
        first, second, third = (
            at for job, at in zip(worker.begun, worker.begun_at, strict=True) if job == BOB
        )
        # They begin a moment before they are told here.
        assert second - first > 1.5 and third - second > 1.5
        await queue.stop()


@pytest.mark.slow
@pytest.mark.parametrize("refusal", [TryAgain("not now"), BackendError("down")], ids=repr)
@on_a_loop
async def test_a_push_that_fails_is_tried_again(queues: QueueBackend, refusal: Exception) -> None:
    async with queues.open(push_pause_seconds=30) as queue:
        worker = Worker()
        worker.refusals = [refusal]
        await queue.start(worker.handlers)
        await queue.push([BOB])
        await until(lambda: worker.begun == [BOB])
        await queue.push([BOB, CAROL])
        await until(lambda: CAROL in worker.pushed)
        await until(lambda: worker.pushed.count(BOB) == 1)
        assert worker.begun.count(BOB) == 2, "what came meanwhile was left to it"
        await queue.stop()


@pytest.mark.slow
@on_a_loop
async def test_a_push_that_fails_does_not_take_the_others(queues: QueueBackend) -> None:
    async with queues.open() as queue:
        worker = Worker()
        worker.refusals = [TryAgain("not now")]
        await queue.start(worker.handlers)
        await queue.push([BOB, CAROL])
        await until(lambda: len(worker.pushed) == 1)
        await until(lambda: sorted(worker.pushed) == [BOB, CAROL])
        assert sorted(worker.begun) in ([BOB, BOB, CAROL], [BOB, CAROL, CAROL])
        await queue.stop()
