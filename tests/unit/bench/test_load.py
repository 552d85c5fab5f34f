"""A load process's work against a real server, one that misbehaves on demand."""

import asyncio
import multiprocessing
import time

import pytest

from bench.load import LoadProcess
from bench.plan import Collect, Collected, Ended, Open, Opened, Run
from bench.shapes import GroupShape, PairsShape, Shape
from bench.tally import Tally, tally_group, tally_pairs
from tests.unit.bench.room import MESSAGES, Room, plan, serving


def drive(
    room: Room, shape: Shape, seats: int, *, rate: float = 0.0, warm_up: int = 0
) -> tuple[Ended, Collected]:
    async def body() -> tuple[Ended, Collected]:
        async with serving(room) as server:
            inbox, outbox = multiprocessing.Pipe(duplex=False)
            with inbox, outbox:
                process = LoadProcess(plan(server, shape, seats, rate), inbox, [outbox])
                assert await process.answer(Open(0, seats)) == Opened("")
                if warm_up:
                    await process.answer(Run(0, warm_up, 0))
                run = Run(warm_up, MESSAGES, time.monotonic_ns())
                ended = await process.answer(run)
                collected = await process.answer(Collect(warm_up))
                process.close()
        assert isinstance(ended, Ended) and isinstance(collected, Collected)
        return ended, collected

    return asyncio.run(body())


GROUP = GroupShape(4, 3, has_echo=False)


def group_tally(collected: Collected) -> Tally:
    return tally_group(collected.received, collected.sent, GROUP.sender, has_echo=False)


def test_a_group_gets_everything_once() -> None:
    ended, collected = drive(Room(), GROUP, 4)
    assert (ended.failure, ended.is_stalled) == ("", False)
    assert group_tally(collected) == Tally(expected=3 * MESSAGES, delivered=3 * MESSAGES)
    assert len(collected.acks) == MESSAGES
    assert len(collected.latencies) == 3 * MESSAGES
    assert collected.latencies.percentile(0) >= 0


def test_pairs_get_everything_once() -> None:
    shape = PairsShape(3)
    ended, collected = drive(Room(), shape, 6)
    assert not ended.is_stalled
    total = tally_pairs(collected.received, collected.sent, shape.recipient)
    assert total == Tally(expected=MESSAGES, delivered=MESSAGES)
    assert len(collected.acks) == MESSAGES


def test_the_open_loop_sends_everything() -> None:
    ended, collected = drive(Room(), GROUP, 4, rate=2000)
    assert not ended.is_stalled
    assert list(collected.sent) == list(range(MESSAGES))
    assert group_tally(collected).is_clean


def test_the_warm_up_is_not_in_the_account() -> None:
    _, collected = drive(Room(), GROUP, 4, warm_up=10)
    assert sorted(collected.sent) == list(range(10, MESSAGES))
    assert len(collected.acks) == MESSAGES - 10
    assert group_tally(collected).delivered == 3 * (MESSAGES - 10)


@pytest.mark.slow
def test_a_loss_is_counted_and_ends_the_run() -> None:
    room = Room()
    room.copies[4] = -1
    ended, collected = drive(room, GROUP, 4)
    assert ended.is_stalled
    total = group_tally(collected)
    assert (total.lost, total.faults) == (1, 1)


@pytest.mark.slow
def test_a_missing_ack_ends_the_run_too() -> None:
    room = Room()
    room.unacked = 4
    ended, collected = drive(room, GROUP, 4)
    assert ended.is_stalled
    assert group_tally(collected).is_clean
    assert len(collected.acks) == MESSAGES - 1


def test_a_repeat_is_counted() -> None:
    room = Room()
    room.copies[4] = 2
    _, collected = drive(room, GROUP, 4)
    assert group_tally(collected).duplicates == 2


def test_another_order_is_counted() -> None:
    room = Room()
    room.held = 4
    ended, collected = drive(room, GROUP, 4)
    assert not ended.is_stalled
    total = group_tally(collected)
    assert (total.reordered, total.faults) == (1, 1)


def test_a_refused_post_spoils_the_run() -> None:
    room = Room()
    room.refused = 7
    ended, _ = drive(room, GROUP, 4)
    assert ended.failure == 'user2: a post was refused: "bad":"too fast"'


def test_a_closed_connection_spoils_the_run() -> None:
    room = Room()
    room.closes_at = 7
    ended, _ = drive(room, GROUP, 4)
    assert ended.failure == "user2: the server closed with 4008 slow consumer"


def test_connections_that_cannot_be_opened_are_told() -> None:
    async def body() -> object:
        async with serving(Room()) as server:
            nowhere = plan(server, GROUP, 4)
        inbox, outbox = multiprocessing.Pipe(duplex=False)
        with inbox, outbox:
            return await LoadProcess(nowhere, inbox, [outbox]).answer(Open(0, 4))

    opened = asyncio.run(body())
    assert isinstance(opened, Opened)
    assert "111" in opened.failure
