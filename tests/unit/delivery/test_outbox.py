"""chatd.delivery.outbox"""

import asyncio

import pytest

from chatd.delivery import outbox as module
from protocol.close import CloseCode
from tests.support.builders import Reader
from tests.support.running import on_a_loop, turns


@pytest.fixture(autouse=True)
def budget(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(module, "OUTBOX_BYTES", 100)
    return 100


def test_a_connection_that_keeps_up_is_written_to_without_a_check() -> None:
    reader = Reader("bob")
    reader.sink.unsent = 1_000_000
    assert reader.outbox.write == reader.sink.write
    reader.outbox.write(b"x" * 200)
    assert reader.sink.writes == [b"x" * 200]
    assert reader.closes == []


def test_a_slow_connection_is_written_to_within_its_budget() -> None:
    reader = Reader("bob")
    reader.outbox.pause()
    reader.sink.unsent = 60
    reader.outbox.write(b"x" * 40)
    assert reader.sink.writes == [b"x" * 40]
    assert reader.closes == []
    assert not reader.outbox.is_closed()


def test_over_the_budget_a_slow_connection_is_closed_and_gets_nothing_more() -> None:
    reader = Reader("bob")
    reader.outbox.pause()
    reader.sink.unsent = 60
    reader.outbox.write(b"x" * 41)
    reader.outbox.write(b"y")
    assert reader.sink.writes == []
    assert reader.closes == [CloseCode.SLOW_CONSUMER]
    assert reader.outbox.is_closed()


def test_a_connection_that_keeps_up_again_is_as_before() -> None:
    reader = Reader("bob")
    reader.outbox.pause()
    reader.outbox.resume()
    assert reader.outbox.write == reader.sink.write


def test_nothing_opens_a_closed_outbox() -> None:
    reader = Reader("bob")
    reader.outbox.close()
    reader.outbox.pause()
    reader.outbox.resume()
    reader.outbox.close()
    reader.outbox.write(b"x")
    assert reader.outbox.is_closed()
    assert reader.sink.writes == []
    assert reader.closes == []


def test_a_pong_confirms_what_was_written_before_its_ping() -> None:
    outbox = Reader("bob").outbox
    outbox.written.update({"c": 3, "d": 1})
    outbox.ping_sent()
    outbox.written["c"] = 5
    assert outbox.take_confirmed() == {"c": 3, "d": 1}
    assert outbox.take_confirmed() == {}
    outbox.ping_sent()
    assert outbox.take_confirmed() == {"c": 5}


def test_a_second_ping_before_the_pong_keeps_what_the_first_covers() -> None:
    outbox = Reader("bob").outbox
    outbox.written["c"] = 3
    outbox.ping_sent()
    outbox.written["d"] = 4
    outbox.ping_sent()
    assert outbox.take_confirmed() == {"c": 3, "d": 4}


def test_a_clean_close_confirms_everything_that_was_written() -> None:
    outbox = Reader("bob").outbox
    outbox.written.update({"c": 3, "d": 1})
    outbox.ping_sent()
    outbox.written["c"] = 5
    outbox.close()
    assert outbox.take_confirmed(everything=True) == {"c": 5, "d": 1}


def test_what_is_discarded_is_not_confirmed_by_a_clean_close() -> None:
    reader = Reader("bob")
    reader.outbox.pause()
    reader.outbox.write(b"x" * 50)
    reader.outbox.written["c"] = 1
    reader.sink.unsent = 100
    # As fan-out does: it notes what it wrote, also when that was too much.
    reader.outbox.write(b"y" * 50)
    reader.outbox.written["c"] = 2
    reader.outbox.written["d"] = 7
    assert reader.outbox.take_confirmed(everything=True) == {"c": 1}


def test_what_is_discarded_is_not_confirmed_by_a_later_ping() -> None:
    reader = Reader("bob")
    reader.outbox.written["c"] = 1
    reader.outbox.close()
    reader.outbox.write(b"discarded")
    reader.outbox.written["c"] = 2
    # The keepalive pings until the socket is gone.
    reader.outbox.ping_sent()
    assert reader.outbox.take_confirmed().get("c", 0) <= 1
    assert reader.outbox.take_confirmed(everything=True).get("c", 0) <= 1


@on_a_loop
async def test_a_connection_that_keeps_up_is_waited_for_by_nobody() -> None:
    reader = Reader("bob")
    await reader.outbox.drained()
    reader.outbox.close()
    await reader.outbox.drained()


@on_a_loop
async def test_a_slow_connection_is_waited_for_until_it_keeps_up() -> None:
    reader = Reader("bob")
    reader.outbox.pause()
    waiting = asyncio.create_task(reader.outbox.drained())
    await turns()
    assert not waiting.done()
    reader.outbox.resume()
    await waiting


@on_a_loop
async def test_waiting_ends_when_the_connection_does() -> None:
    reader = Reader("bob")
    reader.outbox.pause()
    waiting = asyncio.create_task(reader.outbox.drained())
    await turns()
    reader.outbox.close()
    await waiting
