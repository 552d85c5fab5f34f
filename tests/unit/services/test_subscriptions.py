"""chatd.services.subscriptions"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chatd.errors import BackendError
from protocol.close import CloseCode
from tests.support.builders import (
    Core,
    Reader,
    append,
    core,
    create,
    direct,
    held,
    join,
    leave,
    post,
)
from tests.support.running import on_a_loop, turns, until

USERS = ("alice", "bob", "carol")
CHAT = "alice-bob"


@on_a_loop
async def test_a_connection_is_in_the_rooms_of_its_user(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await append(
            here.ledger, direct("bob", "alice"), create("7", "bob"), create("8", "carol", ["alice"])
        )
        bob = await here.connect("bob")
        await until(lambda: all(bob.outbox in room.live for room in here.hub.rooms.values()))
        assert here.hub.rooms.keys() == {CHAT, "7"}
        assert here.hub.users["bob"].loading == 0
        here.subscriptions.disconnect(bob.outbox)
        assert not here.hub.rooms and not here.hub.users


@on_a_loop
async def test_a_user_without_conversations_has_no_rooms(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        bob = await here.connect("bob")
        assert not here.hub.rooms
        assert bob.sink.writes == []


@on_a_loop
async def test_what_was_missed_of_every_conversation_comes(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        here.release(
            *await here.commit(
                direct("alice", "bob"),
                direct("carol", "bob"),
                create("7", "alice", ["bob"]),
                post("7", "alice"),
            )
        )
        bob = await here.connect("bob")
        await until(lambda: len(bob.frames()) == 4)
        assert [bob.seqs(name) for name in (CHAT, "bob-carol", "7")] == [[1], [1], [1, 2]]


@on_a_loop
async def test_a_connection_that_goes_during_its_start_is_nowhere(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await append(here.ledger, direct("alice", "bob"))
        for steps in range(1, 13):
            bob = Reader("bob")
            connecting = asyncio.create_task(here.subscriptions.connect(bob.outbox))
            await turns(steps)
            bob.outbox.close()
            here.subscriptions.disconnect(bob.outbox)
            await connecting
            await turns()
            assert not here.hub.rooms and not here.hub.users


@on_a_loop
async def test_who_leaves_during_the_start_is_not_in_the_room(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        for steps in range(12):
            group_id = f"{100 + steps}"
            await append(here.ledger, create(group_id, "alice", ["bob"], is_open=True))
            bob = Reader("bob")
            connecting = asyncio.create_task(here.subscriptions.connect(bob.outbox))
            await turns(steps)
            here.release(*await here.commit(leave(group_id, "bob")))
            await connecting
            here.release(*await here.commit(post(group_id, "alice", "secret")))
            await here.ledger.heads([])
            await turns()
            assert group_id not in here.hub.rooms
            assert 3 not in bob.seqs(group_id)
            here.subscriptions.disconnect(bob.outbox)


# No room may be opened at a head that is above what the node has released.


@asynccontextmanager
async def connecting(here: Core, reader: Reader) -> AsyncIterator[None]:
    """Connect; the body runs when everything was read and what is committed is still waited for."""
    task = asyncio.create_task(here.subscriptions.connect(reader.outbox))
    for _ in range(3):
        await here.ledger.heads([])
        await turns(1)
    assert not task.done()
    yield
    await task


async def caught_up(here: Core) -> None:
    """Catch-ups of a page or two are over."""
    for _ in range(4):
        await here.ledger.heads([])
        await turns()


@on_a_loop
async def test_who_leaves_during_the_start_is_sent_nothing_above_the_leaving(
    tmp_path: Path,
) -> None:
    async with core(tmp_path, *USERS) as here:
        await append(here.ledger, create("7", "alice", ["bob"]), post("7", "alice"))
        bob = Reader("bob")
        task = asyncio.create_task(here.subscriptions.connect(bob.outbox))
        await turns(1)
        async with held(here.reader):  # the memberships were read and the heads were not
            committed = await here.commit(leave("7", "bob"), post("7", "alice", "secret"))
        await here.ledger.heads([])
        here.release(*committed)
        await task
        await caught_up(here)
        assert 4 not in bob.seqs("7")


@on_a_loop
async def test_who_began_a_chat_is_not_sent_its_own_messages_when_another_connects(
    tmp_path: Path,
) -> None:
    async with core(tmp_path, *USERS) as here:
        alice = await here.connect("alice")
        committed = await here.commit(
            direct("bob", "alice", "1"), direct("alice", "bob", "2", origin=alice.outbox)
        )
        async with connecting(here, Reader("bob")):
            here.release(*committed)
        await caught_up(here)
        assert alice.seqs(CHAT) == [1]


@on_a_loop
async def test_who_joins_during_the_start_hears_from_the_joining_on(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        for steps in range(12):
            group_id = f"{100 + steps}"
            await append(here.ledger, create(group_id, "alice", is_open=True))
            carol = Reader("carol")
            connecting = asyncio.create_task(here.subscriptions.connect(carol.outbox))
            await turns(steps)
            here.release(*await here.commit(join(group_id, "carol")))
            await connecting
            here.release(*await here.commit(post(group_id, "alice"), post(group_id, "alice")))
            await until(lambda g=group_id, c=carol: c.seqs(g)[-1:] == [4])  # type: ignore[misc]
            # Its own joining counts as delivered, when that was stored before the connecting.
            assert carol.seqs(group_id) in ([2, 3, 4], [3, 4])
            here.subscriptions.disconnect(carol.outbox)


@on_a_loop
async def test_who_left_and_came_back_before_the_release_is_sent_nothing_twice(
    tmp_path: Path,
) -> None:
    async with core(tmp_path, *USERS) as here:
        here.release(*await here.commit(create("7", "alice", ["bob"], is_open=True)))
        committed = await here.commit(leave("7", "bob"), join("7", "bob"), post("7", "alice"))
        bob = Reader("bob")
        async with connecting(here, bob):
            here.release(*committed)
        here.release(*await here.commit(post("7", "alice")))
        await here.ledger.heads([])
        await turns()
        assert bob.seqs("7") == sorted(set(bob.seqs("7")))


@on_a_loop
async def test_a_store_that_fails_is_told_to_the_caller(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.reader.close()
        bob = Reader("bob")
        with pytest.raises(BackendError):
            await here.subscriptions.connect(bob.outbox)
        assert here.hub.users["bob"].loading == 0
        here.subscriptions.disconnect(bob.outbox)
        assert not here.hub.users


@on_a_loop
async def test_a_store_that_fails_during_the_catching_up_closes_the_connection(
    tmp_path: Path,
) -> None:
    async with core(tmp_path, *USERS) as here:
        await append(here.ledger, direct("alice", "bob"))
        bob = await here.connect("bob")
        bob.sink.writes.clear()
        room = here.hub.rooms[CHAT]
        await until(lambda: bob.outbox in room.live)
        here.pages.forget(CHAT)
        await here.reader.close()
        room.detach(bob.outbox)
        # An event puts it back, behind what the room has released.
        here.hub.joined(CHAT, ["bob"], 0, is_direct=True)
        await until(lambda: bool(bob.closes))
        assert bob.closes == [CloseCode.INTERNAL_ERROR]
