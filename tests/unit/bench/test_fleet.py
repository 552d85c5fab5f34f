"""Real load processes against a server in a thread of this one."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from websockets.asyncio.server import Server

from bench.errors import BenchError
from bench.fleet import Fleet
from bench.plan import Reading
from bench.shapes import GroupShape, PairsShape, PosterShape, Shape
from bench.tally import tally_group, tally_pairs
from tests.unit.bench.room import MESSAGES, Room, plans, serving, with_readers

GROUP = GroupShape(6, 3, has_echo=False)
PAIRS = PairsShape(4)

pytestmark = pytest.mark.slow


@contextmanager
def server_in_a_thread(room: Room) -> Iterator[Server]:
    servers: list[Server] = []
    is_up, loop = Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def body() -> None:
        async with serving(room) as server:
            servers.append(server)
            is_up.set()
            await stop.wait()

    thread = Thread(target=loop.run_until_complete, args=(body(),))
    thread.start()
    try:
        assert is_up.wait(10)
        yield servers[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(("shape", "seats"), [(GROUP, 6), (PAIRS, 8)], ids=["group", "pairs"])
def test_processes_send_and_account_together(shape: Shape, seats: int, processes: int) -> None:
    with (
        server_in_a_thread(Room()) as server,
        Fleet(plans(server, shape, seats, processes)) as fleet,
    ):
        fleet.open(0, seats)
        _, ended = fleet.run(0, 10)
        assert not any(one.is_stalled for one in ended)
        seconds, ended = fleet.run(10, MESSAGES)
        collected = fleet.collect(10)
    assert seconds > 0
    assert len(ended) == processes
    assert not any(one.is_stalled for one in ended)
    assert sorted(collected.sent) == list(range(10, MESSAGES))
    assert len(collected.acks) == MESSAGES - 10
    if shape is PAIRS:
        total = tally_pairs(collected.received, collected.sent, PAIRS.recipient)
    else:
        total = tally_group(collected.received, collected.sent, GROUP.sender, has_echo=False)
    assert total.is_clean
    assert total.delivered == len(collected.latencies)


def test_readers_of_all_processes_stall_and_end_complete_together() -> None:
    shape, counts = PosterShape(frozenset({1, 2})), dict.fromkeys(range(6), MESSAGES)
    room = Room()
    room.closed_at[20] = "user5"
    with server_in_a_thread(room) as server:
        both = [
            with_readers(one, [Reading.STALLS]) for one in plans(server, shape, 6, 2, rate=2000.0)
        ]
        with Fleet(both) as fleet:
            fleet.open(0, 6)
            fleet.run(0, 10)
            fleet.run(10, MESSAGES, stalls=True)
            seconds, finished = fleet.finish(counts)
            received = fleet.collect(0).received
    assert seconds > 0
    assert sum(one.came_back for one in finished) == 1
    assert {tuple(received[seat]) for seat in range(1, 6)} == {tuple(range(MESSAGES))}


def test_readers_of_all_processes_are_cut_and_come_back_together() -> None:
    shape = PosterShape(frozenset({2}))
    with server_in_a_thread(Room()) as server:
        both = [
            with_readers(one, [Reading.AT_ONCE]) for one in plans(server, shape, 6, 2, rate=2000.0)
        ]
        with Fleet(both) as fleet:
            fleet.open(0, 6)
            fleet.run(0, 10)
            fleet.finish(dict.fromkeys(range(6), 10))
            assert fleet.cut() == {"": 9}
            fleet.run(10, MESSAGES)
            seconds, latencies, cpu_share = fleet.come_back()
            received = fleet.collect(0).received
    assert seconds > 0 and cpu_share > 0
    assert len(latencies) == 2
    assert {tuple(received[seat]) for seat in (4, 5)} == {tuple(range(MESSAGES))}


def test_readers_that_are_not_taken_back_end_the_run() -> None:
    room = Room()
    room.takes_nobody_back = True
    with server_in_a_thread(room) as server:
        both = [
            with_readers(one, [Reading.AT_ONCE])
            for one in plans(server, PosterShape(frozenset({2})), 6, 2, rate=2000.0)
        ]
        with pytest.raises(BenchError, match="resuming was refused"), Fleet(both) as fleet:
            fleet.open(0, 6)
            fleet.cut()
            fleet.come_back()


def test_what_goes_wrong_in_a_process_is_one_line_and_ends_all() -> None:
    room = Room()
    room.closes_at = 7
    with (
        server_in_a_thread(room) as server,
        pytest.raises(BenchError, match="4008 slow consumer"),
        Fleet(plans(server, GROUP, 6, 2)) as fleet,
    ):
        pids = [process.pid for process in fleet.processes]
        fleet.open(0, 6)
        fleet.run(0, MESSAGES)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_process_that_dies_is_told() -> None:
    with (
        server_in_a_thread(Room()) as server,
        pytest.raises(BenchError, match="a load process ended"),
        Fleet(plans(server, GROUP, 6, 2)) as fleet,
    ):
        fleet.open(0, 6)
        fleet.processes[1].kill()
        fleet.run(0, MESSAGES)
