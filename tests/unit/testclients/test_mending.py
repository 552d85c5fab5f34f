"""Gaps on an open connection."""

from testclients.mending import GAP_EVENTS, GAP_SECONDS, Mending
from testclients.order import Order
from tests.support.running import on_a_loop
from tests.unit.testclients.hand_timer import HandTimer
from tests.unit.testclients.scripted import ALICE, CHAT, message


class Mended:
    """A chat of which nothing is known, and what is done about its gaps."""

    def __init__(self) -> None:
        self.timer = HandTimer()
        self.order = Order()
        self.order.connected(ALICE)
        self.asked: list[tuple[str, int]] = []
        self.given_up: list[str] = []
        self.mending = Mending(
            self.timer,
            self.order,
            lambda conversation, last: self.asked.append((conversation, last)),
            self.given_up.append,
        )

    def come(self, *seqs: int) -> None:
        for seq in seqs:
            self.order.take(message(seq))
            self.mending.look(CHAT)


@on_a_loop
async def test_a_gap_that_closes_in_time_is_not_asked_for() -> None:
    at = Mended()
    at.come(1, 3)
    await at.timer.turn(GAP_SECONDS - 0.5)
    at.come(2)
    await at.timer.turn(100)
    assert (at.asked, at.given_up) == ([], [])


@on_a_loop
async def test_a_gap_that_stays_is_asked_for_once() -> None:
    at = Mended()
    at.come(1, 4)
    await at.timer.turn(GAP_SECONDS)
    assert at.asked == [(CHAT, 1)]
    at.come(5, 6)
    await at.timer.turn(100)
    assert (at.asked, at.given_up) == ([(CHAT, 1)], []), "an answer is awaited"
    at.come(2, 3)
    at.mending.answered(CHAT)
    await at.timer.turn(100)
    assert (at.asked, at.given_up) == ([(CHAT, 1)], [])


@on_a_loop
async def test_a_gap_with_much_behind_it_is_asked_for_at_once() -> None:
    at = Mended()
    at.come(*range(2, GAP_EVENTS + 1))
    assert at.asked == []
    at.come(GAP_EVENTS + 1, GAP_EVENTS + 2)
    assert at.asked == [(CHAT, 0)]


@on_a_loop
async def test_an_answer_that_closes_no_gap_is_the_end_of_the_connection() -> None:
    at = Mended()
    at.come(3)
    await at.timer.turn(GAP_SECONDS)
    at.mending.answered(CHAT)
    assert at.given_up == [], "an ack may still be on its way"
    await at.timer.turn(GAP_SECONDS)
    assert at.given_up == [CHAT]


@on_a_loop
async def test_another_gap_is_another_matter() -> None:
    at = Mended()
    at.come(3)
    await at.timer.turn(GAP_SECONDS)
    at.come(1, 5)
    at.mending.answered(CHAT)
    await at.timer.turn(GAP_SECONDS - 0.5)
    at.come(2)
    await at.timer.turn(GAP_SECONDS - 0.5)
    assert (at.asked, at.given_up) == ([(CHAT, 0)], []), "it has moved on"
    await at.timer.turn(0.5)
    assert at.asked == [(CHAT, 0), (CHAT, 3)]


@on_a_loop
async def test_with_the_connection_it_ends() -> None:
    at = Mended()
    at.come(3)
    at.mending.stop()
    await at.timer.turn(100)
    assert (at.asked, at.given_up, at.timer.next_in) == ([], [], None)
