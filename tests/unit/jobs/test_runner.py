"""chatd.jobs.runner"""

import asyncio

import pytest

from chatd.errors import BackendError
from chatd.fabric.offline_queue import TryAgain
from chatd.jobs.runner import Failure, do_all
from tests.support.hand_loop import on_a_hand_loop, pass_seconds
from tests.support.running import on_a_loop, turns


@on_a_loop
async def test_what_fails_does_not_take_the_others(error_lines: list[str]) -> None:
    done: list[int] = []

    async def handle(item: int) -> None:
        if item == 2:
            raise BackendError("down")
        if item == 3:
            raise TryAgain("not now")
        if item == 5:
            raise ValueError("five")
        done.append(item)

    failures = await do_all(handle, range(1, 7), at_once=2, seconds=5)
    assert failures == [Failure(2, "down"), Failure(3, "not now"), Failure(5, "ValueError: five")]
    assert sorted(done) == [1, 4, 6]
    assert len(error_lines) == 1, "a bug is logged, and what was to be expected is not"
    assert await do_all(handle, [], at_once=2, seconds=5) == []


@pytest.mark.parametrize("at_once", [1, 3, 10])
@on_a_loop
async def test_so_many_are_done_at_a_time(at_once: int) -> None:
    begun: list[int] = []
    is_open = asyncio.Event()

    async def handle(item: int) -> None:
        begun.append(item)
        await is_open.wait()

    working = asyncio.create_task(do_all(handle, range(5), at_once=at_once, seconds=5))
    await turns()
    assert begun == list(range(min(at_once, 5)))
    is_open.set()
    assert await working == []
    assert begun == list(range(5))


@on_a_hand_loop
async def test_what_is_not_done_in_time_has_failed() -> None:
    begun: list[int] = []
    cancelled: list[int] = []

    async def handle(item: int) -> None:
        begun.append(item)
        try:
            await asyncio.sleep(item)
        except asyncio.CancelledError:
            cancelled.append(item)
            raise

    working = asyncio.create_task(do_all(handle, [1, 2, 9, 9, 9], at_once=3, seconds=4))
    await turns()
    await pass_seconds(3.75)
    assert not working.done()
    await pass_seconds(0.25)
    assert [failure.item for failure in await working] == [9, 9, 9]
    assert (begun, cancelled) == ([1, 2, 9, 9, 9], [9, 9, 9])


@on_a_loop
async def test_a_cancelled_job_is_cancelled() -> None:
    async def handle(item: int) -> None:
        await asyncio.Event().wait()

    working = asyncio.create_task(do_all(handle, [1, 2], at_once=2, seconds=5))
    await turns()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
