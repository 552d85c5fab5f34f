"""chatd.services.subscriptions: RESUME of a connection that catches up, leaves or ends."""

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from chatd.delivery import pages
from chatd.services import resume as module
from chatd.stores.conversation_store import Cursor, Move
from chatd.stores.ledger import Entry
from protocol.errors import ErrorCode
from protocol.model import HistoryVisibility
from protocol.pushes import Success
from tests.support.builders import Core, Reader, core, create, direct, held, join, leave, post
from tests.support.changes import remove
from tests.support.running import on_a_loop, turns, until
from tests.unit.services.test_resume import CHAT, USERS, delivered, resume, settle, texts


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE", 3)


# Who says it while it catches up by itself.


async def catching_up(here: Core) -> Reader:
    """A connection of bob that has not been sent anything yet of what it will catch up with."""
    bob = Reader("bob")
    bob.stall()
    await here.subscriptions.connect(bob.outbox)
    return bob


@on_a_loop
async def test_own_events_come_also_when_the_resume_meets_the_catching_up(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*texts(3), *(direct("bob", "alice", f"{n}") for n in (4, 5)))
        await delivered(here, 3)
        bob = await catching_up(here)
        resuming = asyncio.create_task(resume(here, bob, alice_bob=1))
        await settle(here)
        bob.wake()
        assert await resuming == Success()
        assert sorted(bob.seqs(CHAT)) == [2, 3, 4, 5]
        await resume(here, bob, alice_bob=0)
        assert bob.seqs(CHAT)[4:] == [1]


@on_a_loop
async def test_what_it_says_it_has_is_left_out(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*texts(9))
        bob = await catching_up(here)
        resuming = asyncio.create_task(resume(here, bob, alice_bob=7))
        await settle(here)
        bob.wake()
        assert await resuming == Success()
        assert bob.seqs(CHAT) == [8, 9]


@on_a_loop
async def test_what_was_sent_before_it_said_so_does_not_come_twice(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*texts(9))
        bob = Reader("bob")
        bob.sip()
        await here.subscriptions.connect(bob.outbox)
        await until(lambda: bob.seqs(CHAT) == [1, 2, 3])
        resuming = asyncio.create_task(resume(here, bob, alice_bob=7))
        await settle(here)
        bob.wake()
        await resuming
        assert bob.seqs(CHAT) == [1, 2, 3, 8, 9]
        await resume(here, bob, alice_bob=0)
        assert sorted(bob.seqs(CHAT)) == [1, 2, 3, 4, 5, 6, 7, 8, 9]


@on_a_loop
async def test_what_it_posted_while_it_caught_up_is_not_filled_in(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*texts(1), direct("bob", "alice", "2"))
        await delivered(here, 1)
        bob = await catching_up(here)
        await here.submit(
            direct("bob", "alice", "3", origin=bob.outbox), direct("bob", "alice", "4")
        )
        bob.wake()
        await settle(here)
        await resume(here, bob, alice_bob=1)
        assert bob.seqs(CHAT) == [2, 4]


# Who leaves meanwhile.


async def resume_of_before(here: Core, reader: Reader, *entries: Entry) -> Success:
    """RESUME from 0 of the group 7, whose memberships are read before these are submitted, and come
    when they have been released."""
    begun, go_on = threading.Event(), threading.Event()

    def look_and_wait(connection: sqlite3.Connection) -> None:
        connection.execute("SELECT * FROM member").fetchall()
        begun.set()
        go_on.wait()

    async with held(here.reader):
        # The two are one batch of the thread, which sees one moment.
        looking = here.reader.submit(look_and_wait)
        resuming = asyncio.create_task(resume(here, reader, g7=0))
        await turns()
    await asyncio.to_thread(begun.wait)
    await here.submit(*entries)
    go_on.set()
    await looking
    return await resuming


@on_a_loop
async def test_who_left_and_came_back_while_it_resumed_is_sent_nothing_from_between(
    tmp_path: Path,
) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(create("7", "alice", ["bob"], is_open=True))
        bob = await here.connect("bob")
        await settle(here)
        moves = leave("7", "bob"), post("7", "alice", "secret"), join("7", "bob")
        assert await resume_of_before(here, bob, *moves) == Success()
        assert bob.seqs("7") == [1, 2, 4]


@on_a_loop
async def test_who_left_while_it_resumed_is_told_so(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(create("7", "alice", ["bob"], is_open=True))
        bob = await here.connect("bob", resumes=True)
        found = await resume_of_before(here, bob, leave("7", "bob"), post("7", "alice", "secret"))
        assert found.errors == {"7": ErrorCode.NOT_A_MEMBER}
        assert bob.frames() == []


@on_a_loop
async def test_who_moves_all_the_time_is_not_served_where_it_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_READS_OF_MEMBERSHIPS", 1)
    async with core(tmp_path, *USERS) as here:
        await here.submit(create("7", "alice", ["bob"], is_open=True))
        bob = await here.connect("bob")
        await settle(here)
        moves = leave("7", "bob"), post("7", "alice", "secret"), join("7", "bob")
        found = await resume_of_before(here, bob, *moves)
        assert found.errors == {"7": ErrorCode.NOT_A_MEMBER}
        assert bob.seqs("7") == [1, 2, 4]
        assert await resume(here, bob, g7=0) == Success()
        assert bob.seqs("7") == [1, 2, 4]


@on_a_loop
async def test_nothing_comes_after_the_removal_also_when_the_socket_was_full(
    tmp_path: Path,
) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(create("7", "alice", ["bob"]), post("7", "alice"))
        bob = Reader("bob")
        async with held(here.reader):
            connecting = asyncio.create_task(here.subscriptions.connect(bob.outbox))
        await connecting
        async with held(here.reader):
            await turns()
            # Another conversation fills the socket while the page is read.
            bob.stall()
        await settle(here)
        assert bob.frames() == []
        await here.submit(remove("7", "alice", "bob"))
        bob.wake()
        await settle(here)
        assert bob.seqs("7") == [3]


@on_a_loop
async def test_who_left_and_came_back_is_sent_nothing_twice(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        made = create("7", "alice", ["bob"], is_open=True, history=HistoryVisibility.ALL)
        await here.submit(made, post("7", "alice"))
        bob = await here.connect("bob")
        await settle(here)
        await here.submit(leave("7", "bob"), join("7", "bob"))
        assert bob.seqs("7") == [1, 2, 3, 4]
        await resume(here, bob, g7=0)
        assert bob.seqs("7") == [1, 2, 3, 4]


@on_a_loop
async def test_who_was_told_of_its_removal_at_once_is_not_told_twice(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        made = create("7", "alice", ["bob"], is_open=True, history=HistoryVisibility.ALL)
        await here.submit(made, post("7", "alice"))
        bob = await here.connect("bob")
        await settle(here)
        bob.stall()
        await here.submit(post("7", "alice"), remove("7", "alice", "bob"))
        assert bob.seqs("7") == [1, 2, 4]
        bob.wake()
        await here.submit(join("7", "bob"))
        await resume(here, bob, g7=0)
        assert sorted(bob.seqs("7")) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("resumes", [True, False])
@on_a_loop
async def test_who_is_removed_while_it_resumes_is_told_and_sent_no_more(
    tmp_path: Path, resumes: bool
) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(create("7", "alice", ["bob"]), *(post("7", "alice") for _ in range(7)))
        await here.store.advance([Move("7", "bob", Cursor.DELIVERED, 8)])
        bob = await here.connect("bob", resumes=resumes)
        bob.read_slowly()
        resuming = asyncio.create_task(resume(here, bob, g7=0))
        await until(lambda: bool(bob.sink.writes))
        await here.submit(remove("7", "alice", "bob"), post("7", "alice", "secret"))
        bob.wake()
        await resuming
        await settle(here)
        assert bob.seqs("7") == [1, 2, 3, 9]


@on_a_loop
async def test_what_is_read_when_the_user_is_removed_is_not_sent(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(create("7", "alice", ["bob"]), *(post("7", "alice") for _ in range(4)))
        await here.store.advance([Move("7", "bob", Cursor.DELIVERED, 5)])
        bob = await here.connect("bob")
        # Other pages are being read: this one waits for its turn.
        for _ in range(pages.LOADS_AT_ONCE):
            await here.pages._turns.acquire()
        resuming = asyncio.create_task(resume(here, bob, g7=0))
        await settle(here)
        await here.submit(remove("7", "alice", "bob"))
        for _ in range(pages.LOADS_AT_ONCE):
            here.pages._turns.release()
        await resuming
        assert bob.seqs("7") == [6]


@on_a_loop
async def test_who_goes_while_it_resumes_is_nowhere(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*texts(9))
        for steps in range(1, 12):
            bob = await here.connect("bob", resumes=True)
            if steps % 2:
                bob.read_slowly()
            resuming = [asyncio.create_task(resume(here, bob, alice_bob=n)) for n in (3, 0)]
            await turns(steps)
            bob.outbox.close()
            here.subscriptions.disconnect(bob.outbox)
            await asyncio.gather(*resuming)
            assert not here.hub.rooms and not here.hub.users
            seqs = bob.seqs(CHAT)
            assert len(seqs) == len(set(seqs))
