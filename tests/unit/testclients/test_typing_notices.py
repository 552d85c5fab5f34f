"""Telling others that the user is typing."""

from testclients.events import Where
from testclients.typing_notices import RENEW_SECONDS, TypingNotices
from tests.support.running import on_a_loop
from tests.unit.testclients.hand_timer import HandTimer

CHAT = Where(chat_id="alice-bob")
GROUP = Where(group_id="g")


class Notices:
    def __init__(self) -> None:
        self.timer = HandTimer()
        self.told: list[tuple[str, bool]] = []
        self.typing = TypingNotices(
            self.timer,
            lambda frame: self.told.append(
                (frame.chat_id or frame.group_id or "", frame.is_typing)
            ),
        )


@on_a_loop
async def test_it_is_renewed_until_it_stops() -> None:
    at = Notices()
    at.typing.start(CHAT)
    at.typing.start(CHAT)
    assert at.told == [("alice-bob", True)]
    await at.timer.turn(RENEW_SECONDS - 0.5)
    at.typing.start(CHAT)
    await at.timer.turn(0.5)
    await at.timer.turn(RENEW_SECONDS)
    assert at.told == [("alice-bob", True)] * 3
    at.typing.stop(CHAT)
    at.typing.stop(CHAT)
    await at.timer.turn(100)
    assert at.told == [("alice-bob", True)] * 3 + [("alice-bob", False)]


@on_a_loop
async def test_conversations_are_apart() -> None:
    at = Notices()
    at.typing.start(CHAT)
    at.typing.start(GROUP)
    at.typing.stop(CHAT)
    at.told.clear()
    await at.timer.turn(RENEW_SECONDS)
    assert at.told == [("g", True)]


@on_a_loop
async def test_who_never_began_stops_nothing() -> None:
    at = Notices()
    at.typing.stop(CHAT)
    assert at.told == []


@on_a_loop
async def test_an_end_is_told_to_nobody() -> None:
    at = Notices()
    at.typing.start(CHAT)
    at.typing.end()
    await at.timer.turn(100)
    assert at.told == [("alice-bob", True)]
    assert at.timer.next_in is None
