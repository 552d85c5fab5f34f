"""chatd.delivery.fanout and catchup: connections that do not keep up, and members who go."""

from pathlib import Path

from chatd.delivery.outbox import STALL_SECONDS
from protocol.close import CloseCode
from tests.support.builders import Core, Reader, append, core, create, direct, join, leave, post
from tests.support.changes import delete, edit, place, react, remove
from tests.support.hand_loop import on_a_hand_loop, pass_seconds
from tests.support.running import on_a_loop, turns, until

USERS = ("alice", "bob", "carol")


async def settle(here: Core) -> None:
    """Catch-ups that need no more than a page or two are over, or wait for their socket."""
    for _ in range(3):
        await here.ledger.heads([])
        await turns()


async def all_live(here: Core, *readers: Reader) -> None:
    room = here.hub.rooms["7"]
    await until(lambda: all(reader.outbox in room.live for reader in readers))


@on_a_loop
async def test_who_refuses_falls_behind_and_is_sent_it_later_from_the_log(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        here.release(*await here.commit(create("7", "alice", ["bob", "carol"])))
        alice, bob, carol = [await here.connect(name) for name in USERS]
        await all_live(here, alice, bob, carol)
        bob.stall()
        here.release(*await here.commit(post("7", "alice", "2"), post("7", "alice", "3")))
        here.release(*await here.commit(post("7", "alice", "4")))
        await settle(here)
        assert alice.seqs("7") == [2, 3, 4] and carol.seqs("7") == [1, 2, 3, 4]
        assert bob.seqs("7") == [1] and bob.of_type("RESYNC") == []
        assert here.metrics.resyncs == 1
        assert bob.outbox.written["7"] == 1, "what was refused is not delivered"
        bob.wake()
        await all_live(here, bob)
        here.release(*await here.commit(post("7", "alice", "5")))
        assert bob.seqs("7") == [1, 2, 3, 4, 5]
        assert bob.of_type("RESYNC") == [{"type": "RESYNC", "groupId": "7", "afterSeq": 1}]
        types = [frame["type"] for frame in bob.frames()]
        assert types == ["GROUP_CREATED", "RESYNC"] + ["GROUP_CHAT"] * 4
        assert not any("offline" in frame for frame in bob.of_type("GROUP_CHAT"))
        assert bob.outbox.written["7"] == 5 and bob.closes == []


@on_a_loop
async def test_falling_behind_in_a_chat_is_told_by_its_chat_id(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        bob = await here.connect("bob")
        here.release(*await here.commit(direct("alice", "bob", "1")))
        bob.stall()
        here.release(*await here.commit(direct("alice", "bob", "2")))
        bob.wake()
        await until(lambda: bob.seqs("alice-bob") == [1, 2])
        assert bob.of_type("RESYNC") == [{"type": "RESYNC", "chatId": "alice-bob", "afterSeq": 1}]


@on_a_loop
async def test_each_conversation_falls_behind_by_itself(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        bob = await here.connect("bob")
        here.release(*await here.commit(direct("alice", "bob"), direct("carol", "bob")))
        bob.stall()
        here.release(*await here.commit(direct("alice", "bob")))
        bob.wake()
        here.release(*await here.commit(direct("carol", "bob")))
        await until(lambda: bob.seqs("alice-bob") == [1, 2])
        assert bob.seqs("bob-carol") == [1, 2]
        assert [frame["chatId"] for frame in bob.of_type("RESYNC")] == ["alice-bob"]


@on_a_loop
async def test_who_falls_behind_again_is_told_again(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        bob = await here.connect("bob")
        for n in range(1, 4):
            bob.stall()
            here.release(*await here.commit(direct("alice", "bob")))
            bob.wake()
            await until(lambda n=n: bob.seqs("alice-bob") == list(range(1, n + 1)))  # type: ignore[misc]
        assert [frame["afterSeq"] for frame in bob.of_type("RESYNC")] == [0, 1, 2]
        assert here.metrics.resyncs == 3


@on_a_loop
async def test_who_posts_what_it_refuses_gets_no_event_of_it_later(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        bob = await here.connect("bob")
        here.release(*await here.commit(direct("alice", "bob")))
        bob.stall()
        here.release(
            *await here.commit(
                direct("bob", "alice", "mine", origin=bob.outbox),
                direct("alice", "bob", "3"),
                direct("bob", "alice", "mine too", origin=bob.outbox),
            )
        )
        here.release(*await here.commit(direct("bob", "alice", "and mine", origin=bob.outbox)))
        here.release(*await here.commit(direct("alice", "bob", "6")))
        bob.wake()
        await until(lambda: bob.outbox in here.hub.rooms["alice-bob"].live)
        assert bob.seqs("alice-bob") == [1, 3, 6]


@on_a_loop
async def test_a_stalled_connection_that_only_posts_does_not_fall_behind(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        bob = await here.connect("bob")
        here.release(*await here.commit(direct("alice", "bob")))
        bob.stall()
        here.release(*await here.commit(direct("bob", "alice", "mine", origin=bob.outbox)))
        assert bob.outbox in here.hub.rooms["alice-bob"].live
        assert here.metrics.resyncs == 0
        bob.wake()


@on_a_loop
async def test_who_has_read_ahead_falls_behind_at_what_it_has(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        bob = Reader("bob")
        await append(here.ledger, direct("alice", "bob", "1"))
        room = here.hub.open_room("alice-bob", here.hub.enter(bob.outbox), is_direct=True)
        room.released = 1
        room.attach(bob.outbox, 3)
        committed = await here.commit(*(direct("alice", "bob", f"{n}") for n in range(2, 6)))
        bob.stall()
        here.release(*committed)
        bob.wake()
        await until(lambda: bob.outbox in room.live)
        assert bob.seqs("alice-bob") == [4, 5]
        assert [frame["afterSeq"] for frame in bob.of_type("RESYNC")] == [3]
        assert not room.ahead


@on_a_loop
async def test_who_is_sent_it_later_is_sent_it_as_it_is_then(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        bob = await here.connect("bob")
        here.release(*await here.commit(direct("alice", "bob", "1")))
        bob.stall()
        said = direct("alice", "bob", "secret")
        at = place(said, 2)
        here.release(*await here.commit(said, edit(at, "alice", "secret too"), react(at, "bob")))
        here.release(*await here.commit(delete(at, "alice")))
        bob.wake()
        await until(lambda: bob.seqs("alice-bob") == [1, 2, 3, 4, 5])
        assert b"secret" not in b"".join(bob.sink.writes)
        types = ["ONE_TO_ONE_CHAT", "MESSAGE_EDITED", "REACTION", "MESSAGE_DELETED"]
        assert [frame["type"] for frame in bob.frames()[-4:]] == types


@on_a_hand_loop
async def test_who_stays_stalled_is_closed_and_the_others_are_not(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        here.release(*await here.commit(create("7", "alice", ["bob", "carol"])))
        readers = [await here.connect(name) for name in USERS]
        await settle(here)
        readers[1].stall()
        for n in range(STALL_SECONDS):
            here.release(*await here.commit(post("7", "alice", f"{n}")))
            await pass_seconds(1)
        assert [reader.closes for reader in readers] == [[], [CloseCode.SLOW_CONSUMER], []]
        assert readers[0].seqs("7") == list(range(2, STALL_SECONDS + 2))
        assert readers[1].seqs("7") == [1]


# Members who go.


@on_a_loop
async def test_who_is_removed_is_sent_that_and_nothing_after_it(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        here.release(*await here.commit(create("7", "alice", ["bob"])))
        alice, bob = await here.connect("alice"), await here.connect("bob")
        await all_live(here, alice, bob)
        here.release(
            *await here.commit(
                post("7", "alice"), remove("7", "alice", "bob"), post("7", "alice", "secret")
            )
        )
        assert bob.seqs("7") == [1, 2, 3]
        last = bob.frames()[-1]
        assert (last["type"], last["username"], last["by"]) == ("GROUP_MEMBER_LEFT", "bob", "alice")
        assert alice.seqs("7") == [2, 3, 4]
        assert "7" not in here.hub.users["bob"].rooms


@on_a_loop
async def test_who_is_behind_when_it_is_removed_is_told_at_once(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        here.release(*await here.commit(create("7", "alice", ["bob"])))
        bob, held = await here.connect("bob"), await here.connect("bob", resumes=True)
        await all_live(here, bob)
        bob.stall()
        here.release(*await here.commit(post("7", "alice"), post("7", "alice")))
        committed = await here.commit(remove("7", "alice", "bob"), post("7", "alice", "secret"))
        here.release(*committed)
        assert bob.seqs("7") == [1, 4], "what it lacks is its business no more"
        bob.wake()
        await settle(here)
        assert bob.seqs("7") == [1, 4]
        assert held.frames() == [], "it has not said yet that it knows the group"


@on_a_loop
async def test_who_refuses_its_own_removal_is_told_all_the_same(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        here.release(*await here.commit(create("7", "alice", ["bob"])))
        bob = await here.connect("bob")
        await all_live(here, bob)
        bob.stall()
        here.release(*await here.commit(remove("7", "alice", "bob"), post("7", "alice")))
        bob.wake()
        await settle(here)
        assert bob.seqs("7") == [1, 2]
        assert bob.of_type("RESYNC") == []


@on_a_loop
async def test_who_leaves_while_it_is_behind_has_the_ack_and_no_event(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        here.release(*await here.commit(create("7", "alice", ["bob"])))
        phone, desk = await here.connect("bob", "phone"), await here.connect("bob", "desk")
        await all_live(here, phone, desk)
        for reader in (phone, desk):
            reader.stall()
        here.release(*await here.commit(post("7", "alice")))
        here.release(*await here.commit(leave("7", "bob", origin=phone.outbox)))
        assert phone.seqs("7") == [1] and desk.seqs("7") == [1, 3]
        for reader in (phone, desk):
            reader.wake()


@on_a_loop
async def test_who_is_removed_and_put_back_hears_from_there_on(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        here.release(*await here.commit(create("7", "alice", ["bob"], is_open=True)))
        bob = await here.connect("bob")
        await all_live(here, bob)
        bob.stall()
        here.release(*await here.commit(post("7", "alice")))
        here.release(*await here.commit(remove("7", "alice", "bob"), post("7", "alice", "secret")))
        here.release(*await here.commit(join("7", "bob"), post("7", "alice")))
        bob.wake()
        await all_live(here, bob)
        assert bob.seqs("7") == [1, 3, 5, 6]
        assert [frame["afterSeq"] for frame in bob.of_type("RESYNC")] == [4]
