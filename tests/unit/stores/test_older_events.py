"""chatd.stores.older_events: what is counted in the message store. The rest is told by
`test_ledger_history.py`."""

import asyncio
from typing import Final

import pytest

from chatd.stores import older_events
from chatd.stores.ledger import POSTS, Tail, Wanted
from tests.support.builders import append, direct
from tests.support.changes import delete, place
from tests.support.history import History, HistoryPlace
from tests.support.running import on_a_loop, on_a_quick_loop

USERS: Final = ("alice", "bob", "carol")
CHAT: Final = "alice-bob"


async def unread(here: History, *, head: int, read: int = 0, unread_cap: int = 100) -> int:
    (tail,) = await here.ledger.tails("bob", [Wanted(CHAT, head, 0, read, unread_cap)])
    return tail.unread


@pytest.mark.slow
@on_a_quick_loop
async def test_one_counts_on_below_many_own_messages(stores: HistoryPlace) -> None:
    async with stores.history(*USERS) as here:
        await append(here.ledger, *(direct("alice", "bob") for _ in range(3)))
        await append(here.ledger, *(direct("bob", "alice") for _ in range(POSTS + 10)))
        await append(here.ledger, direct("alice", "bob"), direct("bob", "alice"))
        head = POSTS + 15
        await here.keep(CHAT, [head])
        assert await unread(here, head=head) == 4
        assert await unread(here, head=head - 2) == 3
        assert await unread(here, head=head, read=1) == 3
        assert await unread(here, head=head, unread_cap=2) == 3
        assert await unread(here, head=head, unread_cap=0) == 1


@pytest.mark.slow
@on_a_quick_loop
async def test_only_so_many_are_looked_through(
    stores: HistoryPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(older_events, "UNREAD_WITHIN", POSTS)
    async with stores.history(*USERS) as here:
        await append(here.ledger, *(direct("alice", "bob") for _ in range(3)))
        await append(here.ledger, *(direct("bob", "alice") for _ in range(POSTS - 1)))
        await here.keep(CHAT, [])
        assert await unread(here, head=POSTS + 2) == 1


@pytest.mark.slow
@on_a_quick_loop
async def test_of_many_posts_the_newest_are_told_also_of_both(stores: HistoryPlace) -> None:
    async with stores.history(*USERS) as here:
        said = [direct("alice", "bob") for _ in range(POSTS + 20)]
        await append(here.ledger, *said)
        gone = (POSTS + 20, POSTS + 3, 40, 30, 2)
        await append(here.ledger, *(delete(place(said[seq - 1], seq), "alice") for seq in gone))
        for lowest in (1, 10, 25, POSTS, POSTS + 15, POSTS + 21):
            await here.keep(CHAT, range(lowest, POSTS + 26))
            posts = await here.ledger.posts(CHAT, after=0, up_to=POSTS + 25)
            assert [seq for seq, _ in posts] == list(range(POSTS + 20, 20, -1))
            assert {sender for _, sender in posts} == {"alice"}


@pytest.mark.slow
@on_a_quick_loop
async def test_many_conversations_are_asked_for_at_once(
    stores: HistoryPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(older_events, "READS_AT_ONCE", 3)
    names = [f"user{n}" for n in range(40)]
    async with stores.history("bob", *names) as here:
        await append(here.ledger, *(direct(name, "bob", name) for name in names))
        chats = ["-".join(sorted(("bob", name))) for name in names]
        for chat in chats:
            await here.keep(chat, [])
        wanted = [Wanted(chat, 1, 0, 0, 9) for chat in chats]
        tails = await here.ledger.tails("bob", wanted)
        assert [tail.unread for tail in tails] == [1] * len(names)
        senders = [tail.last_message.posted.sender for tail in tails if tail.last_message]
        assert senders == names
        lost = await here.without_store()
        before = asyncio.all_tasks()
        assert await lost.tails("bob", wanted) == [Tail(0, None)] * len(names)
        assert asyncio.all_tasks() <= before, "what one failure ends has ended"


@on_a_loop
async def test_a_message_that_was_deleted_meanwhile_was_unread_then(stores: HistoryPlace) -> None:
    async with stores.history(*USERS) as here:
        said = [direct("alice", "bob", f"{n}") for n in range(3)]
        await append(here.ledger, *said)
        await append(here.ledger, *(delete(place(said[n - 1], n), "alice") for n in (2, 3)))
        for kept in ((4, 5), (5,), ()):
            await here.keep(CHAT, kept)
            assert [await unread(here, head=head) for head in range(6)] == [0, 1, 2, 3, 2, 1]
