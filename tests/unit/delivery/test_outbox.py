"""chatd.delivery.outbox"""

import asyncio

import pytest

from chatd.delivery import outbox as module
from protocol.close import CloseCode
from tests.support.builders import Reader
from tests.support.hand_loop import on_a_hand_loop, pass_seconds
from tests.support.running import on_a_loop, turns

HINT, EVENT, REPLY = 20, 50, 100
STALL = module.STALL_SECONDS


@pytest.fixture(autouse=True)
def budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HINT_BYTES", HINT)
    monkeypatch.setattr(module, "EVENT_BYTES", EVENT)
    monkeypatch.setattr(module, "OUTBOX_BYTES", REPLY)


def slow(unsent: int = 0) -> Reader:
    """A connection whose socket has more than it can send at once."""
    reader = Reader("bob")
    reader.outbox.pause()
    reader.sink.unsent = unsent
    return reader


def test_a_connection_that_keeps_up_is_written_to_without_a_check() -> None:
    reader = Reader("bob")
    reader.sink.unsent = 1_000_000
    assert reader.outbox.write == reader.outbox.reply == reader.sink.write
    assert not reader.outbox.write(b"event")
    reader.outbox.reply(b"reply")
    reader.outbox.hint(b"hint")
    assert reader.sink.writes == [b"event", b"reply", b"hint"]
    assert reader.closes == [] and not reader.outbox.is_slow()


def test_a_slow_connection_is_sent_everything_within_the_limits() -> None:
    reader = slow(HINT - 1)
    reader.outbox.hint(b"h")
    reader.sink.unsent = EVENT - 1
    assert not reader.outbox.write(b"e")
    reader.sink.unsent = REPLY - 1
    reader.outbox.reply(b"r")
    assert reader.sink.writes == [b"h", b"e", b"r"]
    assert reader.closes == [] and reader.outbox.is_slow()


def test_hints_are_dropped_first() -> None:
    reader = slow(HINT)
    reader.outbox.hint(b"h")
    assert not reader.outbox.write(b"e")
    reader.outbox.reply(b"r")
    assert reader.sink.writes == [b"e", b"r"]
    assert reader.closes == []


@on_a_loop
async def test_events_are_refused_and_replies_are_not() -> None:
    reader = slow(EVENT)
    assert reader.outbox.write(b"e")
    reader.outbox.reply(b"r")
    reader.outbox.hint(b"h")
    assert reader.sink.writes == [b"r"]
    assert reader.closes == [] and not reader.outbox.is_closed()
    reader.outbox.close()


@on_a_loop
async def test_an_event_is_refused_whole() -> None:
    reader = slow(EVENT - 3)
    assert reader.outbox.write(b"four")
    assert not reader.outbox.write(b"low")
    assert reader.sink.writes == [b"low"]
    reader.outbox.close()


def test_a_reply_over_the_limit_closes_the_connection_which_gets_nothing_more() -> None:
    reader = slow(REPLY)
    reader.outbox.reply(b"r")
    reader.outbox.reply(b"r")
    assert not reader.outbox.write(b"e")
    reader.outbox.hint(b"h")
    assert reader.sink.writes == []
    assert reader.closes == [CloseCode.SLOW_CONSUMER]
    assert reader.outbox.is_closed() and not reader.outbox.is_slow()


@on_a_hand_loop
async def test_who_has_refused_an_event_and_stays_stalled_is_closed() -> None:
    reader = slow(EVENT)
    reader.outbox.write(b"e")
    await pass_seconds(STALL - 1)
    reader.outbox.write(b"another does not put it off")
    assert reader.closes == []
    await pass_seconds(1)
    assert reader.closes == [CloseCode.SLOW_CONSUMER]
    assert reader.outbox.is_closed()


@on_a_hand_loop
async def test_who_keeps_up_again_in_time_is_not_closed() -> None:
    reader = slow(EVENT)
    for _ in range(3):
        reader.outbox.write(b"e")
    await pass_seconds(STALL - 1)
    reader.outbox.resume()
    reader.outbox.pause()
    await pass_seconds(STALL)
    assert reader.closes == []
    reader.outbox.write(b"e")
    await pass_seconds(STALL - 1)
    assert reader.closes == [], "each stall has its own time"
    await pass_seconds(1)
    assert reader.closes == [CloseCode.SLOW_CONSUMER]


@on_a_hand_loop
async def test_who_is_slow_and_refuses_nothing_is_not_closed() -> None:
    reader = slow(EVENT - 1)
    reader.outbox.write(b"e")
    await pass_seconds(2 * STALL)
    assert reader.closes == []


@on_a_hand_loop
async def test_a_connection_that_ended_is_not_closed_for_being_slow() -> None:
    reader = slow(EVENT)
    reader.outbox.write(b"e")
    reader.outbox.close()
    await pass_seconds(2 * STALL)
    assert reader.closes == []


@on_a_hand_loop
async def test_who_waits_for_a_stalled_connection_goes_on_when_it_is_closed() -> None:
    reader = slow(EVENT)
    reader.outbox.write(b"e")
    waiting = asyncio.create_task(reader.outbox.drained())
    await pass_seconds(STALL)
    assert waiting.done()


def test_a_connection_that_keeps_up_again_is_as_before() -> None:
    reader = Reader("bob")
    reader.outbox.pause()
    reader.outbox.resume()
    assert reader.outbox.write == reader.outbox.reply == reader.sink.write


def test_nothing_opens_a_closed_outbox() -> None:
    reader = Reader("bob")
    reader.outbox.close()
    reader.outbox.pause()
    reader.outbox.resume()
    reader.outbox.close()
    reader.outbox.write(b"x")
    reader.outbox.reply(b"x")
    reader.outbox.hint(b"x")
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
    reader = slow()
    reader.outbox.write(b"x" * EVENT)
    reader.outbox.written["c"] = 1
    reader.sink.unsent = REPLY
    reader.outbox.reply(b"too much")
    # As fan-out does: it notes what it wrote, also to a connection that is closed.
    reader.outbox.write(b"y")
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


def test_once_it_sends_acks_nothing_else_says_what_is_delivered() -> None:
    outbox = Reader("bob").outbox
    outbox.written["c"] = 3
    outbox.ping_sent()
    outbox.acks = True
    assert outbox.take_confirmed() == {}
    outbox.written["c"] = 5
    outbox.close()
    assert outbox.take_confirmed(everything=True) == {}


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
