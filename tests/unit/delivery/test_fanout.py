"""chatd.delivery.fanout. Who does not keep up is in `test_falling_behind.py`."""

from pathlib import Path

from chatd.stores.conversation_store import Cursor, Move
from protocol.close import CloseCode
from tests.support.builders import Reader, append, core, create, direct, join, leave, post
from tests.support.running import on_a_loop, until

USERS = ("alice", "bob", "carol")


@on_a_loop
async def test_every_connection_of_every_member_gets_a_message(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS, "eve") as here:
        here.release(*await here.commit(create("7", "alice", ["bob"])))
        readers = [await here.connect(name) for name in ("alice", "bob", "bob", "carol")]
        await until(lambda: here.fanout.audience("7") == 3)
        for reader in readers:
            reader.sink.writes.clear()
        here.release(*await here.commit(post("7", "alice", "hello")))
        assert [reader.seqs("7") for reader in readers] == [[2], [2], [2], []]
        (frame,) = readers[1].frames()
        assert (frame["type"], frame["from"], frame["content"]) == ("GROUP_CHAT", "alice", "hello")
        assert (frame["seq"], frame["prev"]) == (2, 1)
        assert here.metrics.deliveries == 3


@on_a_loop
async def test_the_connection_that_posted_gets_no_event(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        phone, desk = await here.connect("alice", "phone"), await here.connect("alice", "desk")
        bob = await here.connect("bob")
        here.release(*await here.commit(direct("alice", "bob", origin=phone.outbox)))
        assert phone.frames() == []
        assert desk.seqs("alice-bob") == bob.seqs("alice-bob") == [1]
        assert phone.outbox.written == desk.outbox.written == {"alice-bob": 1}


@on_a_loop
async def test_events_of_one_commit_leave_in_one_write(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.users.befriend("alice", "bob", 0)
        alice, bob = await here.connect("alice"), await here.connect("bob")
        committed = await here.commit(
            direct("alice", "bob", "1", origin=alice.outbox),
            direct("bob", "alice", "2", origin=bob.outbox),
            direct("alice", "bob", "3"),
            direct("alice", "bob", "4", origin=alice.outbox),
        )
        here.release(*committed)
        assert bob.seqs("alice-bob") == [1, 3, 4]
        assert alice.seqs("alice-bob") == [2, 3]
        assert len(bob.sink.writes) == len(alice.sink.writes) == 1


@on_a_loop
async def test_recipients_share_one_buffer(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        here.release(*await here.commit(create("7", "alice", ["bob", "carol"])))
        await here.store.advance([Move("7", name, Cursor.DELIVERED, 1) for name in USERS])
        readers = [await here.connect(name) for name in USERS]
        here.release(*await here.commit(post("7", "alice", "1"), post("7", "alice", "2")))
        buffers = [reader.sink.writes for reader in readers]
        assert [len(writes) for writes in buffers] == [1, 1, 1]
        assert buffers[0][0] is buffers[1][0] is buffers[2][0]


@on_a_loop
async def test_a_release_is_in_the_order_of_the_numbers(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        bob = await here.connect("bob")
        for n in range(10):
            batch = [direct("alice", "bob", f"{n} {i}") for i in range(n % 4 + 1)]
            here.release(*await here.commit(*batch))
        assert bob.seqs("alice-bob") == list(range(1, len(bob.frames()) + 1))
        assert here.hub.rooms["alice-bob"].released == len(bob.frames())


@on_a_loop
async def test_a_first_direct_message_reaches_who_was_connected_before(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        readers = [await here.connect(name) for name in USERS]
        here.release(*await here.commit(direct("alice", "bob")))
        assert [reader.seqs("alice-bob") for reader in readers] == [[1], [1], []]


@on_a_loop
async def test_a_new_group_is_one_event_for_all_of_its_members(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        readers = [await here.connect(name) for name in USERS]
        made = create("7", "alice", ["bob"], origin=readers[0].outbox)
        here.release(*await here.commit(made, post("7", "alice", "welcome")))
        assert [reader.seqs("7") for reader in readers] == [[2], [1, 2], []]
        assert readers[1].frames()[0]["type"] == "GROUP_CREATED"


@on_a_loop
async def test_a_joining_member_hears_from_its_joining_on(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        alice, bob = await here.connect("alice"), await here.connect("bob")
        committed = await here.commit(
            create("7", "alice", is_open=True),
            post("7", "alice", "before"),
            join("7", "bob"),
            post("7", "alice", "after"),
        )
        here.release(*committed)
        assert alice.seqs("7") == [1, 2, 3, 4]
        assert bob.seqs("7") == [3, 4]
        assert bob.frames()[0]["type"] == "GROUP_MEMBER_JOINED"


@on_a_loop
async def test_a_leaving_member_hears_of_it_and_nothing_above(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        alice = await here.connect("alice")
        phone, desk = await here.connect("bob", "phone"), await here.connect("bob", "desk")
        committed = await here.commit(
            create("7", "alice", ["bob"], is_open=True),
            post("7", "alice", "before"),
            leave("7", "bob", origin=phone.outbox),
            post("7", "alice", "after"),
        )
        here.release(*committed)
        assert alice.seqs("7") == [1, 2, 3, 4]
        assert phone.seqs("7") == [1, 2]
        assert desk.seqs("7") == [1, 2, 3]
        assert desk.frames()[-1]["type"] == "GROUP_MEMBER_LEFT"
        here.release(*await here.commit(post("7", "alice", "later"), join("7", "bob")))
        assert phone.seqs("7") == [1, 2, 6]


@on_a_loop
async def test_what_a_room_was_opened_with_is_not_delivered_again(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        committed = await here.commit_elsewhere(
            direct("alice", "bob", "1"), direct("alice", "bob", "2")
        )
        bob = await here.connect("bob")
        await until(lambda: here.fanout.audience("alice-bob") == 1)
        assert bob.seqs("alice-bob") == [1, 2]
        here.release(*committed)
        assert bob.seqs("alice-bob") == [1, 2]


@on_a_loop
async def test_a_closed_connection_is_noted_and_not_written_to(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        bob = await here.connect("bob")
        here.release(*await here.commit(direct("alice", "bob", "1")))
        bob.outbox.close()
        here.release(*await here.commit(direct("alice", "bob", "2")))
        assert bob.seqs("alice-bob") == [1]
        assert bob.outbox.take_confirmed(everything=True) == {"alice-bob": 1}


@on_a_loop
async def test_who_has_read_ahead_is_sent_only_what_is_above(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        bob = Reader("bob")
        await append(here.ledger, direct("alice", "bob", "1"))
        user = here.hub.enter(bob.outbox)
        room = here.hub.open_room("alice-bob", user, is_direct=True)
        room.released = 1
        room.attach(bob.outbox, 3)
        one, two, three, four = await here.commit(
            *(direct("alice", "bob", f"{n}") for n in range(2, 6))
        )
        here.release(one)
        assert room.ahead == {bob.outbox: 3}
        here.release(two, three)
        assert room.ahead == {}
        here.release(four)
        assert bob.seqs("alice-bob") == [4, 5]


@on_a_loop
async def test_nobody_hears_of_conversations_of_others(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        carol = await here.connect("carol")
        here.release(*await here.commit(direct("alice", "bob"), create("7", "alice", ["bob"])))
        assert carol.frames() == []
        assert here.hub.rooms == {}
        assert here.fanout.audience("7") == 0


@on_a_loop
async def test_a_connection_that_cannot_be_written_to_harms_only_itself(tmp_path: Path) -> None:
    def broken(data: bytes) -> None:
        raise RuntimeError("cannot call write() after write_eof()")

    async with core(tmp_path, *USERS) as here:
        here.release(*await here.commit(create("7", "alice", ["bob", "carol"])))
        readers = [await here.connect(name) for name in USERS]
        await until(lambda: here.fanout.audience("7") == 3)
        readers[1].outbox.write = broken
        here.release(*await here.commit(post("7", "alice")))
        assert [reader.seqs("7")[-1:] for reader in readers] == [[2], [1], [2]]
        assert [reader.closes for reader in readers] == [[], [CloseCode.INTERNAL_ERROR], []]
        assert readers[1].outbox.written["7"] == 1, "it will catch up when it comes back"
