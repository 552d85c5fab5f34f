"""chatd.jobs.sweep. What is found where is the contract of SweepStore."""

import asyncio
from collections.abc import Sequence

import pytest

from chatd.clock import HandClock
from chatd.errors import BackendError
from chatd.fabric.offline_queue import OfflineJob
from chatd.jobs import sweep as module
from chatd.jobs.sweep import BACK_MS, OVERLAP_MS, SETTLE_MS, Sweep
from tests.contracts.test_sweep_store import Desk, desk
from tests.support.builders import NOW_MS, append, create
from tests.support.running import on_a_loop
from tests.support.services import postgres_database

GROUPS = [f"{n}" for n in range(5)]
JOBS = [OfflineJob(group, 1, 1) for group in GROUPS]


@pytest.fixture
def url() -> str:
    return postgres_database()


class Queue:
    """Takes jobs, as many as there is `room` for."""

    def __init__(self) -> None:
        self.jobs: list[OfflineJob] = []
        self.room = 1_000
        self.has_taken = asyncio.Event()

    async def put(self, jobs: Sequence[OfflineJob]) -> None:
        if len(self.jobs) + len(jobs) > self.room:
            raise BackendError("full")
        self.jobs += jobs
        self.has_taken.set()


async def lose(here: Desk, *groups: str, at_ms: int = NOW_MS) -> None:
    """Events whose jobs nobody has had."""
    await append(here.ledger, *(create(group, "alice", ["bob"], at_ms=at_ms) for group in groups))


@on_a_loop
async def test_what_was_lost_becomes_jobs(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEADS", 2)
    async with desk(url) as here:
        await lose(here, *GROUPS)
        queue, clock = Queue(), HandClock(NOW_MS + SETTLE_MS + 1)
        await Sweep(here.sweep, queue.put, clock).run()
        assert queue.jobs == JOBS
        assert await here.sweep.swept_until() == NOW_MS + 1


@on_a_loop
async def test_what_is_young_is_left_to_the_next(url: str) -> None:
    async with desk(url) as here:
        queue, clock = Queue(), HandClock(NOW_MS)
        sweep = Sweep(here.sweep, queue.put, clock)
        await lose(here, "0")
        await sweep.run()
        assert queue.jobs == []
        clock.advance(SETTLE_MS / 1000 + 1)
        await sweep.run()
        assert queue.jobs == JOBS[:1]


@on_a_loop
async def test_what_was_looked_at_is_looked_at_again_for_a_while(url: str) -> None:
    async with desk(url) as here:
        queue, clock = Queue(), HandClock(NOW_MS + SETTLE_MS)
        sweep = Sweep(here.sweep, queue.put, clock)
        await lose(here, "0", at_ms=NOW_MS - 1)
        await lose(here, "1", at_ms=NOW_MS - OVERLAP_MS - 1)
        await sweep.run()
        assert queue.jobs == JOBS[:2], "at first everything is"
        await sweep.run()
        assert queue.jobs == [*JOBS[:2], JOBS[0]]
        clock.advance(60)
        await sweep.run()
        assert queue.jobs[3:] == JOBS[:1]
        clock.advance(OVERLAP_MS / 1000)
        await sweep.run()
        await sweep.run()
        assert len(queue.jobs) == 5, "once more, since the last one was a while before"


@on_a_loop
async def test_what_is_old_is_left_alone(url: str) -> None:
    async with desk(url) as here:
        await lose(here, "0", at_ms=NOW_MS - BACK_MS)
        await lose(here, "1", at_ms=NOW_MS - BACK_MS - 1)
        queue = Queue()
        await Sweep(here.sweep, queue.put, HandClock(NOW_MS + SETTLE_MS)).run()
        assert queue.jobs == JOBS[:1]


@on_a_loop
async def test_a_sweep_that_was_not_finished_begins_again(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEADS", 2)
    async with desk(url) as here:
        await lose(here, *GROUPS)
        queue = Queue()
        queue.room = 3
        sweep = Sweep(here.sweep, queue.put, HandClock(NOW_MS + SETTLE_MS + 1))
        await sweep.run()
        assert queue.jobs == JOBS[:2]
        assert await here.sweep.swept_until() == 0
        queue.room = 1_000
        await sweep.run()
        assert queue.jobs == [*JOBS[:2], *JOBS]


@on_a_loop
async def test_a_store_that_fails_ends_the_sweep_and_nothing_else(url: str) -> None:
    async with desk(url) as here:
        await lose(here, "0")
        queue = Queue()
        sweep = Sweep(here.sweep, queue.put, HandClock(NOW_MS + SETTLE_MS + 1))
        await here.postgres.execute("ALTER TABLE mailbox RENAME TO letterbox")
        try:
            await sweep.run()
        finally:
            await here.postgres.execute("ALTER TABLE letterbox RENAME TO mailbox")
        assert (queue.jobs, await here.sweep.swept_until()) == ([], 0)
        await sweep.run()
        assert queue.jobs == JOBS[:1]


@on_a_loop
async def test_a_sweep_can_be_cancelled(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEADS", 1)
    async with desk(url) as here:
        await lose(here, *GROUPS)
        queue = Queue()
        sweeping = asyncio.create_task(
            Sweep(here.sweep, queue.put, HandClock(NOW_MS + SETTLE_MS + 1)).run()
        )
        await queue.has_taken.wait()
        sweeping.cancel()
        await asyncio.wait([sweeping])
        assert sweeping.cancelled()
        assert await here.sweep.swept_until() == 0
