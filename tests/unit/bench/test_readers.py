"""Connections that only read: in rounds, stalled, closed, cut, and back where they were."""

import asyncio
import multiprocessing
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bench.load import LoadProcess
from bench.plan import (
    CameBack,
    Collect,
    Collected,
    ComeBack,
    Cut,
    Ended,
    Finish,
    Finished,
    Open,
    Opened,
    Positions,
    Reading,
    Run,
)
from bench.shapes import PosterShape
from tests.support.running import on_a_loop
from tests.unit.bench.room import MESSAGES, Room, plan, serving, with_readers

SEEN = 10
SEATS = 5
"""A poster, one that is timed, and three readers."""
ALL = dict.fromkeys(range(SEATS), MESSAGES)
RATE = 2000.0


@asynccontextmanager
async def loading(room: Room, *readings: Reading) -> AsyncIterator[LoadProcess]:
    """A load process whose seats are open."""
    async with serving(room) as server:
        whole = plan(server, PosterShape(frozenset({1})), SEATS, RATE)
        inbox, outbox = multiprocessing.Pipe(duplex=False)
        with inbox, outbox:
            process = LoadProcess(with_readers(whole, readings), inbox, [outbox])
            try:
                assert await process.answer(Open(0, SEATS)) == Opened("")
                yield process
            finally:
                process.close()


async def run(process: LoadProcess, first: int, end: int, *, stalls: bool = False) -> Ended:
    ended = await process.answer(Run(first, end, time.monotonic_ns(), stalls))
    assert isinstance(ended, Ended)
    return ended


async def finish(process: LoadProcess, counts: dict[int, int]) -> Finished:
    finished = await process.answer(Finish(counts))
    assert isinstance(finished, Finished)
    return finished


async def received(process: LoadProcess) -> dict[int, list[int]]:
    collected = await process.answer(Collect(0))
    assert isinstance(collected, Collected)
    return {seat: list(numbers) for seat, numbers in collected.received.items()}


@pytest.mark.slow
@pytest.mark.parametrize("reading", [Reading.AT_ONCE, Reading.IN_ROUNDS, Reading.STALLS])
def test_every_manner_of_reading_gets_everything(reading: Reading) -> None:
    @on_a_loop
    async def body() -> None:
        async with loading(Room(), reading, reading, reading) as process:
            assert not (await run(process, 0, MESSAGES)).is_stalled
            finished = await finish(process, ALL)
            assert (finished.is_stalled, finished.failure, finished.came_back) == (False, "", 0)
            assert await received(process) == {
                0: [],
                **{seat: list(range(MESSAGES)) for seat in range(1, SEATS)},
            }

    body()


@pytest.mark.slow
@on_a_loop
async def test_the_stalled_read_nothing_until_they_are_woken() -> None:
    async with loading(Room(), Reading.STALLS, Reading.AT_ONCE) as process:
        await run(process, 0, SEEN)
        await run(process, SEEN, MESSAGES, stalls=True)
        theirs = (await received(process))[3]
        assert theirs == list(range(len(theirs)))
        assert len(theirs) <= SEEN
        assert (await finish(process, ALL)).came_back == 0
        assert (await received(process))[3] == list(range(MESSAGES))


@pytest.mark.slow
@on_a_loop
async def test_the_stalled_that_were_closed_come_back_to_where_they_were() -> None:
    room = Room()
    room.closed_at[20] = "user3"
    async with loading(room, Reading.STALLS, Reading.AT_ONCE) as process:
        await run(process, 0, SEEN)
        await run(process, SEEN, MESSAGES, stalls=True)
        finished = await finish(process, ALL)
        assert (finished.came_back, finished.failure, finished.is_stalled) == (1, "", False)
        assert (await received(process))[3] == list(range(MESSAGES))


@pytest.mark.slow
@on_a_loop
async def test_one_that_never_stalled_must_not_be_closed() -> None:
    room = Room()
    room.closed_at[20] = "user4"
    async with loading(room, Reading.STALLS, Reading.AT_ONCE) as process:
        ended = await run(process, 0, MESSAGES, stalls=True)
        finished = await finish(process, ALL)
        assert finished.failure == "user4: the server closed with 4008 slow consumer"
        assert ended.failure in ("", finished.failure)


@pytest.mark.slow
@on_a_loop
async def test_a_message_that_never_comes_ends_the_waiting() -> None:
    async with loading(Room(), Reading.AT_ONCE) as process:
        await run(process, 0, MESSAGES)
        finished = await finish(process, dict.fromkeys(range(SEATS), MESSAGES + 1))
        assert (finished.is_stalled, finished.failure) == (True, "")


async def come_back(process: LoadProcess) -> CameBack:
    answer = await process.answer(ComeBack(time.monotonic_ns()))
    assert isinstance(answer, CameBack)
    return answer


@pytest.mark.slow
@on_a_loop
async def test_all_that_were_cut_come_back_and_lack_nothing() -> None:
    async with loading(Room(), Reading.AT_ONCE, Reading.AT_ONCE, Reading.AT_ONCE) as process:
        await run(process, 0, SEEN)
        await finish(process, dict.fromkeys(range(SEATS), SEEN))
        assert await process.answer(Cut()) == Positions({"": SEEN - 1})
        await run(process, SEEN, MESSAGES)
        began_ns = time.monotonic_ns()
        back = await come_back(process)
        assert (back.failure, len(back.latencies)) == ("", 3)
        assert began_ns < back.end_ns <= time.monotonic_ns()
        whole = await received(process)
        assert {tuple(whole[seat]) for seat in (2, 3, 4)} == {tuple(range(MESSAGES))}


@pytest.mark.slow
@on_a_loop
async def test_the_lowest_position_of_all_is_told() -> None:
    async with loading(Room(), Reading.AT_ONCE, Reading.STALLS) as process:
        await run(process, 0, SEEN)
        await finish(process, dict.fromkeys(range(SEATS), SEEN))
        await run(process, SEEN, MESSAGES, stalls=True)
        assert await process.answer(Cut()) == Positions({"": SEEN - 1})


@pytest.mark.slow
@on_a_loop
async def test_who_is_not_taken_back_is_told() -> None:
    room = Room()
    async with loading(room, Reading.AT_ONCE) as process:
        await run(process, 0, SEEN)
        await process.answer(Cut())
        room.takes_nobody_back = True
        back = await come_back(process)
        assert back.failure == 'user4: resuming was refused: "bad":"stay away"'
        assert len(back.latencies) == 0


@on_a_loop
async def test_nobody_to_come_back_to_is_told() -> None:
    inbox, outbox = multiprocessing.Pipe(duplex=False)
    with inbox, outbox:
        async with serving(Room()) as server:
            whole = plan(server, PosterShape(frozenset({1})), SEATS, RATE)
            process = LoadProcess(with_readers(whole, [Reading.AT_ONCE]), inbox, [outbox])
            assert await process.answer(Open(4, SEATS)) == Opened("")
            await process.answer(Cut())
        assert "111" in (await come_back(process)).failure
        process.close()


def test_the_loop_of_a_load_process_may_be_any() -> None:
    """The fleet runs it on uvloop, whose transports are others."""
    uvloop = pytest.importorskip("uvloop")

    async def body() -> None:
        async with loading(Room(), Reading.IN_ROUNDS, Reading.STALLS) as process:
            await run(process, 0, SEEN, stalls=True)
            assert not (await finish(process, dict.fromkeys(range(SEATS), SEEN))).is_stalled

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(body())
