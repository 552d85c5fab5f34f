"""chatd.delivery.catchup, with the fan-out that it must meet."""

import asyncio
import random
from pathlib import Path

import pytest

from chatd.delivery import catchup as module
from chatd.delivery import pages
from chatd.errors import BackendError
from chatd.stores.conversation_store import Cursor, Move
from tests.support.builders import (
    Core,
    Reader,
    Released,
    add_users,
    append,
    core,
    create,
    direct,
    join,
    leave,
    post,
    text_frames,
)
from tests.support.running import on_a_loop, on_a_quick_loop, turns, until

USERS = ("alice", "bob", "carol")
CHAT = "alice-bob"


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE", 3)


def is_live(here: Core, reader: Reader, conversation_id: str = CHAT) -> bool:
    room = here.hub.rooms.get(conversation_id)
    return room is not None and reader.outbox in room.live


async def connected(here: Core, username: str, conversation_id: str = CHAT) -> Reader:
    """A connection that has caught up in the conversation."""
    reader = await here.connect(username)
    await until(lambda: is_live(here, reader, conversation_id))
    return reader


@on_a_loop
async def test_what_was_missed_comes_in_order_marked_as_offline(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        here.release(*await here.commit(*(direct("alice", "bob", f"{n}") for n in range(8))))
        bob = await connected(here, "bob")
        assert bob.seqs(CHAT) == list(range(1, 9))
        assert all(frame["offline"] for frame in bob.frames())
        assert bob.outbox.written == {CHAT: 8}
        assert here.metrics.offline_deliveries == 8


@on_a_loop
async def test_large_messages_leave_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PIECE_BYTES", 1_000)
    async with core(tmp_path, *USERS) as here:
        sizes = (900, 900, 10, 2_000, 10, 10)
        await append(here.ledger, *(direct("alice", "bob", "x" * size) for size in sizes))
        bob = Reader("bob")
        bob.read_slowly()
        await here.subscriptions.connect(bob.outbox)
        await until(lambda: bool(bob.sink.writes))
        await turns()
        assert bob.seqs(CHAT) == [1]
        bob.wake()
        await until(lambda: is_live(here, bob))
        assert [len(text_frames(data)) for data in bob.sink.writes] == [1, 1, 1, 1, 2]
        assert bob.seqs(CHAT) == [1, 2, 3, 4, 5, 6]


@on_a_loop
async def test_a_page_is_one_write(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await append(here.ledger, *(direct("alice", "bob", f"{n}") for n in range(7)))
        bob = await connected(here, "bob")
        assert len(bob.sink.writes) == 3


@on_a_loop
async def test_catching_up_begins_above_the_delivered_cursor(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await append(here.ledger, *(direct("alice", "bob", f"{n}") for n in range(8)))
        await here.store.advance([Move(CHAT, "bob", Cursor.DELIVERED, 5)])
        bob = await connected(here, "bob")
        assert bob.seqs(CHAT) == [6, 7, 8]
        here.receipts.delivered("bob", {CHAT: 7})
        again = await connected(here, "bob")
        assert again.seqs(CHAT) == [8]


@on_a_loop
async def test_what_a_user_wrote_first_is_not_missed_by_that_user(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await append(
            here.ledger,
            *(direct("bob", "alice", f"mine {n}") for n in range(4)),
            direct("alice", "bob", "5"),
            direct("bob", "alice", "mine, after it"),
        )
        bob = await connected(here, "bob")
        assert bob.seqs(CHAT) == [5, 6]


@on_a_loop
async def test_live_events_follow_what_was_missed(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        here.release(*await here.commit(*(direct("alice", "bob", f"{n}") for n in range(4))))
        bob = await connected(here, "bob")
        here.release(*await here.commit(direct("alice", "bob", "live")))
        assert bob.seqs(CHAT) == [1, 2, 3, 4, 5]
        assert "offline" not in bob.frames()[-1]


@on_a_loop
async def test_what_comes_during_the_catching_up_is_not_offline(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await append(here.ledger, *(direct("alice", "bob", f"{n}") for n in range(4)))
        bob = Reader("bob")
        bob.read_slowly()
        await here.subscriptions.connect(bob.outbox)
        here.release(*await here.commit(direct("alice", "bob", "meanwhile")))
        bob.wake()
        await until(lambda: is_live(here, bob))
        assert bob.seqs(CHAT) == [1, 2, 3, 4, 5]
        offline = [frame.get("offline", False) for frame in bob.frames()]
        assert offline == [True] * 4 + [False]


@on_a_loop
async def test_the_next_page_waits_until_the_socket_keeps_up(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await append(here.ledger, *(direct("alice", "bob", f"{n}") for n in range(8)))
        bob = Reader("bob")
        bob.read_slowly()
        await here.subscriptions.connect(bob.outbox)
        await until(lambda: bool(bob.sink.writes))
        await here.ledger.heads([])
        await turns()
        assert bob.seqs(CHAT) == [1, 2, 3]
        assert not is_live(here, bob)
        bob.wake()
        await until(lambda: is_live(here, bob))
        assert bob.seqs(CHAT) == list(range(1, 9))


@on_a_loop
async def test_catching_up_ends_with_the_connection(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await append(here.ledger, *(direct("alice", "bob", f"{n}") for n in range(8)))
        bob = Reader("bob")
        bob.read_slowly()
        await here.subscriptions.connect(bob.outbox)
        await until(lambda: bool(bob.sink.writes))
        bob.outbox.close()
        here.subscriptions.disconnect(bob.outbox)
        await here.ledger.heads([])
        await turns()
        assert bob.seqs(CHAT) == [1, 2, 3]
        assert not here.hub.rooms


@on_a_loop
async def test_a_clean_close_confirms_the_piece_that_was_written_last(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await append(here.ledger, *(direct("alice", "bob", f"{n}") for n in range(8)))
        bob = Reader("bob")
        bob.read_slowly()
        await here.subscriptions.connect(bob.outbox)
        await until(lambda: bool(bob.sink.writes))
        bob.outbox.close()
        assert bob.outbox.take_confirmed(everything=True) == {CHAT: 3}


@on_a_loop
async def test_catching_up_ends_when_the_user_leaves(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        here.release(
            *await here.commit(
                create("7", "alice", ["bob"]), *(post("7", "alice", f"{n}") for n in range(7))
            )
        )
        bob = Reader("bob")
        bob.read_slowly()
        await here.subscriptions.connect(bob.outbox)
        await until(lambda: bool(bob.sink.writes))
        here.release(*await here.commit(leave("7", "bob"), post("7", "alice", "secret")))
        bob.wake()
        await here.ledger.heads([])
        await turns()
        assert bob.seqs("7") == [1, 2, 3, 9], "it is told of its leaving at once"
        assert not here.hub.rooms


@on_a_loop
async def test_who_posts_while_behind_gets_no_event_of_it(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await append(here.ledger, *(direct("alice", "bob", f"{n}") for n in range(4)))
        bob = Reader("bob")
        bob.read_slowly()
        await here.subscriptions.connect(bob.outbox)
        await until(lambda: bool(bob.sink.writes))
        mine = direct("bob", "alice", "mine", origin=bob.outbox)
        here.release(*await here.commit(mine, direct("alice", "bob", "last")))
        bob.wake()
        await until(lambda: is_live(here, bob))
        assert bob.seqs(CHAT) == [1, 2, 3, 4, 6]


@on_a_loop
async def test_what_was_read_before_its_release_is_not_sent_twice(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        here.release(*await here.commit(*(direct("alice", "bob", f"{n}") for n in range(4))))
        bob = Reader("bob")
        bob.read_slowly()
        await here.subscriptions.connect(bob.outbox)
        committed = await here.commit(direct("alice", "bob", "5"), direct("alice", "bob", "6"))
        bob.wake()
        await until(lambda: is_live(here, bob))
        here.release(committed[0])
        here.release(committed[1])
        assert bob.seqs(CHAT) == [1, 2, 3, 4, 5, 6]


@on_a_loop
async def test_who_posts_while_behind_gets_no_event_of_it_before_the_release_either(
    tmp_path: Path,
) -> None:
    async with core(tmp_path, *USERS) as here:
        here.release(*await here.commit(*(direct("alice", "bob", f"{n}") for n in range(4))))
        bob = Reader("bob")
        bob.read_slowly()
        await here.subscriptions.connect(bob.outbox)
        await until(lambda: bool(bob.sink.writes))
        committed = await here.commit(direct("bob", "alice", "mine", origin=bob.outbox))
        bob.wake()
        await until(lambda: is_live(here, bob))
        here.release(*committed)
        assert bob.seqs(CHAT) == [1, 2, 3, 4]


@on_a_loop
async def test_nothing_above_a_removal_is_sent_before_its_release_either(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        here.release(
            *await here.commit(
                create("7", "alice", ["bob"]), *(post("7", "alice", f"{n}") for n in range(3))
            )
        )
        bob = Reader("bob")
        bob.read_slowly()
        await here.subscriptions.connect(bob.outbox)
        await until(lambda: bool(bob.sink.writes))
        committed = await here.commit(leave("7", "bob"), post("7", "alice", "secret"))
        bob.wake()
        await here.ledger.heads([])
        await turns()
        await here.ledger.heads([])
        await turns()
        here.release(*committed)
        assert [seq for seq in bob.seqs("7") if seq > 5] == []


@on_a_loop
async def test_two_catch_ups_of_a_slow_connection_both_go_on(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await append(
            here.ledger,
            *(direct("alice", "bob", f"{n}") for n in range(5)),
            *(direct("carol", "bob", f"{n}") for n in range(5)),
        )
        bob = Reader("bob")
        user = here.hub.enter(bob.outbox)
        backlogs = []
        for conversation_id in (CHAT, "bob-carol"):
            room = here.hub.open_room(conversation_id, user, is_direct=True)
            room.released = 5
            behind = room.attach(bob.outbox, 0)
            assert behind is not None
            backlogs.append((room, behind))
        bob.read_slowly()
        # As when an event puts a connection that still catches up into another room.
        tasks = [asyncio.create_task(here.catchup.run(bob.outbox, *one)) for one in backlogs]
        await until(lambda: len(bob.sink.writes) == 2)
        await turns()
        bob.wake()
        await asyncio.gather(*tasks)
        assert is_live(here, bob) and is_live(here, bob, "bob-carol")


@on_a_loop
async def test_a_store_that_fails_ends_the_catching_up(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await append(here.ledger, direct("alice", "bob"))
        bob = Reader("bob")
        room = here.hub.open_room(CHAT, here.hub.enter(bob.outbox), is_direct=True)
        room.released = 1
        behind = room.attach(bob.outbox, 0)
        assert behind is not None
        await here.reader.close()
        with pytest.raises(BackendError):
            await here.catchup.run(bob.outbox, room, behind)
        assert bob.sink.writes == []


@on_a_loop
async def test_a_hole_in_the_store_is_passed_and_reported(
    tmp_path: Path, error_lines: list[str]
) -> None:
    async with core(tmp_path, *USERS) as here:
        await append(here.ledger, direct("alice", "bob"))
        bob = Reader("bob")
        room = here.hub.open_room(CHAT, here.hub.enter(bob.outbox), is_direct=True)
        room.released = 4
        behind = room.attach(bob.outbox, 0)
        assert behind is not None
        await here.catchup.run(bob.outbox, room, behind)
        assert is_live(here, bob)
        assert bob.seqs(CHAT) == [1]
        assert len(error_lines) == 2, "one for each page"
        assert "from 1 to 3" in error_lines[0] and "from 3 to 4" in error_lines[1]


@on_a_quick_loop
async def test_no_gap_and_no_duplicate_whenever_a_connection_comes(tmp_path: Path) -> None:
    """Connections arrive while events are committed and released, in many orders."""
    async with core(tmp_path, *USERS) as here:
        for seed in range(80):
            await _one_interleaving(here, random.Random(seed), f"{1000 + seed}")


async def _one_interleaving(here: Core, choose: random.Random, group_id: str) -> None:
    members = [f"bob{group_id}", f"carol{group_id}"]
    await add_users(here.users, *members)
    here.release(*await here.commit(create(group_id, "alice", members)))
    unreleased: list[list[Released]] = []
    readers: list[Reader] = []
    connecting: list[asyncio.Task[None]] = []
    batches = choose.randint(2, 6)
    while batches or unreleased:
        action = choose.choice(("commit", "release", "release", "connect", "turn", "read"))
        if action == "commit" and batches:
            batches -= 1
            texts = range(choose.randint(1, 4))
            unreleased.append(await here.commit(*(post(group_id, "alice", f"{n}") for n in texts)))
        elif action == "release" and unreleased:
            here.release(*unreleased.pop(0))
        elif action == "connect" and len(readers) < 8:
            readers.append(Reader(choose.choice(members)))
            connecting.append(asyncio.create_task(here.subscriptions.connect(readers[-1].outbox)))
        elif action == "turn":
            await turns(choose.randint(1, 4))
        else:
            await here.ledger.heads([])
    await asyncio.gather(*connecting)
    await until(lambda: all(is_live(here, reader, group_id) for reader in readers))
    (head,) = (await here.ledger.heads([group_id])).values()
    for reader in readers:
        assert reader.seqs(group_id) == list(range(1, head + 1))
        here.subscriptions.disconnect(reader.outbox)


@on_a_loop
async def test_a_new_member_that_is_connected_has_its_joining_and_what_follows(
    tmp_path: Path,
) -> None:
    async with core(tmp_path, *USERS) as here:
        here.release(*await here.commit(create("7", "alice", is_open=True)))
        carol = await here.connect("carol")
        committed = await here.commit_elsewhere(
            post("7", "alice"), join("7", "carol"), post("7", "alice")
        )
        # Another connection opens the room when all of it is committed and nothing released.
        alice = await connected(here, "alice", "7")
        here.release(*committed)
        await until(lambda: is_live(here, carol, "7"))
        here.release(*await here.commit(post("7", "alice")))
        assert alice.seqs("7") == [3, 4, 5]
        assert carol.seqs("7") == [3, 4, 5]
