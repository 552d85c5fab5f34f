"""chatd.fabric.pushes_memory: what is its own. The rest is the contract of OfflineQueue."""

import asyncio

import pytest

from chatd.fabric import pushes_memory as module
from chatd.fabric.offline_queue import PushJob, TryAgain
from chatd.fabric.pushes_memory import AT_ONCE, PAUSES, MemoryPushes
from chatd.metrics import Metrics
from tests.support.hand_loop import on_a_hand_loop, pass_seconds
from tests.support.running import turns

JOBS = [PushJob(f"user{n}", "7") for n in range(40)]


class Receiver:
    def __init__(self) -> None:
        self.begun: list[PushJob] = []
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.refuses = False

    async def __call__(self, job: PushJob) -> None:
        self.begun.append(job)
        await self.is_open.wait()
        if self.refuses:
            raise TryAgain("not now")


def pushes(pause_seconds: float = 0) -> tuple[MemoryPushes, Receiver, Metrics]:
    metrics, receiver = Metrics(), Receiver()
    made = MemoryPushes(pause_seconds, metrics)
    made.start(receiver)
    return made, receiver, metrics


@on_a_hand_loop
async def test_what_comes_within_the_pause_is_one_push_at_its_end() -> None:
    made, receiver, _ = pushes(30)
    made.add(JOBS[:1])
    await turns()
    for _ in range(4):
        made.add(JOBS[:1])
        await pass_seconds(7)
    assert receiver.begun == JOBS[:1]
    await pass_seconds(2)
    assert receiver.begun == JOBS[:1] * 2
    await pass_seconds(60)
    assert receiver.begun == JOBS[:1] * 2, "and none for nothing"
    made.add(JOBS[:1])
    await turns()
    assert receiver.begun == JOBS[:1] * 3
    await made.stop(1)


@on_a_hand_loop
async def test_a_push_is_given_up_after_its_attempts() -> None:
    made, receiver, metrics = pushes()
    receiver.refuses = True
    made.add(JOBS[:1])
    await turns()
    for attempt, pause in enumerate(PAUSES, 1):
        assert (len(receiver.begun), metrics.pushes_failed) == (attempt, 0)
        await pass_seconds(pause - 0.25)
        assert len(receiver.begun) == attempt
        await pass_seconds(0.25)
    assert (len(receiver.begun), metrics.pushes_failed) == (len(PAUSES) + 1, 1)
    receiver.refuses = False
    made.add(JOBS[:1])
    await pass_seconds(1)
    assert len(receiver.begun) == len(PAUSES) + 2, "the next one is a new one"
    await made.stop(1)


@on_a_hand_loop
async def test_so_many_are_made_at_a_time() -> None:
    made, receiver, _ = pushes()
    receiver.is_open.clear()
    made.add(JOBS)
    await turns()
    assert len(receiver.begun) == AT_ONCE
    made.add(JOBS[-1:])
    receiver.is_open.set()
    await turns()
    assert receiver.begun == JOBS
    await made.stop(1)


@on_a_hand_loop
async def test_at_the_limit_new_pushes_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PUSHES", 2)
    made, receiver, metrics = pushes(30)
    made.add(JOBS[:4])
    await turns()
    assert (receiver.begun, metrics.pushes_dropped) == (JOBS[:2], 2)
    made.add(JOBS[:1])
    assert metrics.pushes_dropped == 2, "it is known"
    await pass_seconds(61)
    assert receiver.begun == [*JOBS[:2], JOBS[0]]
    made.add(JOBS[2:4])
    await turns()
    assert (receiver.begun[3:], metrics.pushes_dropped) == (JOBS[2:4], 2)
    await made.stop(1)


@on_a_hand_loop
async def test_what_waits_for_its_time_does_not_hold_up_the_end() -> None:
    made, receiver, _ = pushes(30)
    made.add(JOBS[:1])
    await turns()
    made.add(JOBS[:1])
    await made.stop(1)
    await pass_seconds(60)
    assert receiver.begun == JOBS[:1]


@on_a_hand_loop
async def test_what_has_begun_ends() -> None:
    made, receiver, metrics = pushes()
    receiver.is_open.clear()
    receiver.refuses = True
    made.add(JOBS[:1])
    await turns()
    stopping = asyncio.create_task(made.stop(1))
    await turns()
    assert not stopping.done()
    receiver.is_open.set()
    await turns()
    assert stopping.done()
    await pass_seconds(10)
    assert len(receiver.begun) == 1, "and is not tried again"
