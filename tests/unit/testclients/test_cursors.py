"""ACK and MARK_READ, coalesced."""

from collections.abc import Callable

from protocol import requests
from protocol.errors import ErrorCode
from protocol.pushes import Error, Reply, Success
from testclients.cursors import INTERVAL_SECONDS, Cursors
from testclients.events import Where
from tests.support.running import on_a_loop
from tests.unit.testclients.hand_timer import HandTimer

CHAT = Where(chat_id="alice-bob")
GROUP = Where(group_id="g")
Sent = requests.Ack | requests.MarkRead


class Wire:
    def __init__(self) -> None:
        self.timer = HandTimer()
        self.cursors = Cursors(self.timer)
        self.sent: list[tuple[str, str, int]] = []
        """Type, conversation, seq."""
        self._answers: list[Callable[[Reply], None]] = []
        self.cursors.connected(self.post)

    def post(self, frame: Sent, answered: Callable[[Reply], None]) -> None:
        self.sent.append((type(frame).__name__, frame.chat_id or frame.group_id or "", frame.seq))
        self._answers.append(answered)

    def take(self) -> list[tuple[str, str, int]]:
        sent, self.sent = self.sent, []
        return sent

    def answer(self, reply: Reply | None = None) -> None:
        """Answer all that was sent."""
        answers, self._answers = self._answers, []
        for answered in answers:
            answered(Success() if reply is None else reply)

    def ack(self, seq: int, where: Where = CHAT) -> None:
        self.cursors.move(requests.Ack, where, seq)


@on_a_loop
async def test_the_first_goes_at_once_and_the_next_ones_together() -> None:
    wire = Wire()
    wire.ack(1)
    await wire.timer.turn(0)
    assert wire.take() == [("Ack", "alice-bob", 1)]
    wire.answer()
    for seq in range(2, 30):
        wire.ack(seq)
        await wire.timer.turn(0.01)
    assert wire.take() == []
    await wire.timer.turn(INTERVAL_SECONDS)
    assert wire.take() == [("Ack", "alice-bob", 29)]
    wire.answer()
    await wire.timer.turn(10)
    assert wire.take() == []


@on_a_loop
async def test_many_moves_are_two_frames_a_second() -> None:
    wire = Wire()
    for seq in range(100):
        wire.ack(seq)
        await wire.timer.turn(0.1)
        wire.answer()
    sent = wire.take()
    assert 15 <= len(sent) <= 21
    assert [seq for _, _, seq in sent] == sorted({seq for _, _, seq in sent})
    await wire.timer.turn(1)
    assert (sent + wire.take())[-1][2] == 99


@on_a_loop
async def test_kinds_and_conversations_are_apart() -> None:
    wire = Wire()
    wire.ack(5)
    wire.ack(3, GROUP)
    wire.cursors.move(requests.MarkRead, CHAT, 4)
    await wire.timer.turn(0)
    expected = [("Ack", "alice-bob", 5), ("Ack", "g", 3), ("MarkRead", "alice-bob", 4)]
    assert wire.take() == expected


@on_a_loop
async def test_a_cursor_never_goes_back() -> None:
    wire = Wire()
    wire.ack(5)
    wire.ack(3)
    await wire.timer.turn(0)
    assert wire.take() == [("Ack", "alice-bob", 5)]


@on_a_loop
async def test_what_moves_meanwhile_follows_the_answer() -> None:
    wire = Wire()
    wire.ack(1)
    await wire.timer.turn(0)
    wire.ack(2)
    await wire.timer.turn(5)
    assert [seq for _, _, seq in wire.take()] == [1], "one under way at a time"
    wire.answer()
    await wire.timer.turn(0)
    assert [seq for _, _, seq in wire.take()] == [2]


@on_a_loop
async def test_a_refusal_for_a_time_is_tried_again_and_one_for_good_is_not() -> None:
    wire = Wire()
    wire.ack(1)
    await wire.timer.turn(0)
    slower = Error(code=ErrorCode.RATE_LIMITED, msg="", temporary=True, retry_after_ms=4_000)
    wire.take()
    wire.answer(slower)
    await wire.timer.turn(3.5)
    assert wire.take() == []
    await wire.timer.turn(0.5)
    assert wire.take() == [("Ack", "alice-bob", 1)]
    wire.answer(Error(code=ErrorCode.NOT_A_MEMBER, msg="", temporary=False))
    await wire.timer.turn(10)
    assert wire.take() == []


@on_a_loop
async def test_what_was_not_confirmed_goes_out_on_the_next_connection() -> None:
    wire = Wire()
    wire.ack(1)
    await wire.timer.turn(0)
    wire.take()
    wire.cursors.disconnected()
    wire.ack(2, GROUP)
    await wire.timer.turn(10)
    assert wire.take() == []
    wire.cursors.connected(wire.post)
    await wire.timer.turn(0)
    assert wire.take() == [("Ack", "alice-bob", 1), ("Ack", "g", 2)]


@on_a_loop
async def test_forgotten_cursors_are_not_sent() -> None:
    wire = Wire()
    wire.ack(1)
    wire.ack(2, GROUP)
    wire.cursors.forget(CHAT)
    await wire.timer.turn(0)
    assert wire.take() == [("Ack", "g", 2)]
    wire.ack(3)
    wire.cursors.forget()
    await wire.timer.turn(10)
    assert wire.take() == []


@on_a_loop
async def test_in_a_hurry_nothing_waits_but_for_its_answer() -> None:
    wire = Wire()
    wire.ack(1)
    await wire.timer.turn(0)
    wire.ack(2)
    wire.ack(3, GROUP)
    wire.cursors.hurry()
    assert wire.take() == [("Ack", "alice-bob", 1), ("Ack", "g", 3)]
    wire.answer()
    await wire.timer.turn(0)
    assert wire.take() == [("Ack", "alice-bob", 2)]
    assert not wire.cursors.is_settled
    wire.answer(Error(code=ErrorCode.UNAVAILABLE, msg="", temporary=True))
    await wire.timer.turn(INTERVAL_SECONDS / 2)
    assert wire.take() == [], "a server in trouble is not pressed"
    await wire.timer.turn(INTERVAL_SECONDS / 2)
    assert wire.take() == [("Ack", "alice-bob", 2)]
    wire.answer()
    assert wire.cursors.is_settled
