"""chatd.services.presence_news"""

from collections.abc import Sequence

import pytest

from chatd.fabric.bus_memory import MemoryBus
from chatd.services import presence_news as module
from chatd.services.presence_news import AT_ONCE, PresenceNews
from tests.support.running import on_a_loop


class Ear:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.changes: list[tuple[list[str], int | None]] = []
        self.others: list[tuple[str, str, str]] = []

    def heard_change(self, usernames: Sequence[str], last_seen: int | None) -> None:
        self.changes.append((list(usernames), last_seen))

    def heard_friends(self, one: str, other: str) -> None:
        self.others.append(("friends", one, other))

    def heard_blocked(self, one: str, other: str) -> None:
        self.others.append(("blocked", one, other))


@on_a_loop
async def test_every_node_hears_what_is_told_until_it_stops() -> None:
    bus, here, there = MemoryBus(), Ear(), Ear()
    news, other = PresenceNews(bus, here), PresenceNews(bus, there)
    await news.start()
    await other.start()
    news.change(["alice", "bob"], None)
    news.change(["alice"], 7)
    news.befriended("alice", "bob")
    news.blocked("bob", "alice")
    assert here.changes == there.changes == [(["alice", "bob"], None), (["alice"], 7)]
    assert here.others == there.others
    assert here.others == [("friends", "alice", "bob"), ("blocked", "bob", "alice")]
    other.stop()
    news.change(["carol"], None)
    assert (len(here.changes), len(there.changes)) == (3, 2)


@on_a_loop
async def test_many_are_told_in_pieces() -> None:
    ear = Ear()
    news = PresenceNews(MemoryBus(), ear)
    await news.start()
    names = [f"user{n}" for n in range(2 * AT_ONCE + 1)]
    news.change(names, 7)
    assert [len(usernames) for usernames, _ in ear.changes] == [AT_ONCE, AT_ONCE, 1]
    assert [name for usernames, _ in ear.changes for name in usernames] == names


@on_a_loop
async def test_the_last_change_of_each_user_waits_for_the_bus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "UNTOLD", 3)
    bus, ear = MemoryBus(), Ear()
    news = PresenceNews(bus, ear)
    await news.start()
    bus.is_connected = False
    news.change(["alice", "bob"], None)
    news.change(["alice"], 7)
    news.change(["carol"], 7)
    news.change(["dave"], None)
    news.change(["bob"], None)
    news.tell_untold()
    assert ear.changes == []
    bus.is_connected = True
    news.tell_untold()
    news.tell_untold()
    assert ear.changes == [(["alice", "carol"], 7), (["bob"], None)]
