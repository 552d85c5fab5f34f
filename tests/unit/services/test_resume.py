"""chatd.services.resume: RESUME, by which a connection says what it has. What happens while
it is served is in `test_resume_meanwhile.py`."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from chatd.delivery import catchup, pages
from chatd.errors import BackendError, ChatError
from chatd.services import resume as module
from chatd.stores.conversation_store import Cursor, Move
from chatd.stores.ledger import Entry
from protocol import limits
from protocol.close import CloseCode
from protocol.errors import ErrorCode
from protocol.model import HistoryVisibility
from protocol.pushes import Success
from protocol.requests import Resume
from tests.support.builders import (
    NOW_MS,
    Core,
    Reader,
    core,
    create,
    direct,
    held,
    join,
    leave,
    post,
)
from tests.support.changes import remove
from tests.support.running import on_a_loop, turns, until

USERS = ("alice", "bob", "carol")
CHAT = "alice-bob"


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE", 3)


async def resume(here: Core, reader: Reader, ref: str | None = None, **positions: int) -> Success:
    """RESUME from these positions; a name without a hyphen is a group's, with an underscore
    a chat's."""
    outbox = reader.outbox
    asked = {name.replace("_", "-").removeprefix("g"): seq for name, seq in positions.items()}
    return await here.resumes.resume(outbox.principal, outbox, Resume(positions=asked, ref=ref))


def texts(count: int, *, first: int = 1) -> list[Entry]:
    """Messages of alice to bob, which say their numbers."""
    return [direct("alice", "bob", f"{n}") for n in range(first, first + count)]


async def settle(here: Core) -> None:
    """What needs no more than a few pages is over, or waits for its socket."""
    for _ in range(5):
        await here.ledger.heads([])
        await turns()


async def delivered(here: Core, seq: int, username: str = "bob") -> None:
    await here.store.advance([Move(CHAT, username, Cursor.DELIVERED, seq)])


def kinds(reader: Reader) -> list[tuple[str, Any]]:
    """Types and numbers of what the connection was sent."""
    return [(frame["type"], frame.get("seq", frame.get("afterSeq"))) for frame in reader.frames()]


# Connections that said at the handshake that they will resume.


@on_a_loop
async def test_nothing_is_sent_before_the_resume(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*texts(3), create("7", "alice", ["bob"]))
        bob = await here.connect("bob", resumes=True)
        await here.submit(*texts(2, first=4), post("7", "alice"))
        await settle(here)
        assert bob.frames() == []
        assert bob.outbox.written == {}
        assert await resume(here, bob, "r", alice_bob=1) == Success(ref="r")
        assert bob.seqs(CHAT) == [2, 3, 4, 5] and bob.seqs("7") == []
        await here.submit(direct("alice", "bob", "live"), post("7", "alice"))
        assert bob.seqs(CHAT) == [2, 3, 4, 5, 6] and bob.seqs("7") == []
        await resume(here, bob, g7=0)
        assert bob.seqs("7") == [1, 2, 3]


@on_a_loop
async def test_what_was_there_at_the_resume_is_offline(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*texts(2))
        bob = await here.connect("bob", resumes=True)
        await here.submit(*texts(1, first=3))
        bob.read_slowly()
        resuming = asyncio.create_task(resume(here, bob, alice_bob=0))
        await until(lambda: bool(bob.sink.writes))
        await here.submit(*texts(1, first=4))
        bob.wake()
        await resuming
        assert [frame.get("offline", False) for frame in bob.frames()] == [True, True, True, False]


@on_a_loop
async def test_a_conversation_that_begins_later_is_live_at_once(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*texts(1))
        bob = await here.connect("bob", resumes=True)
        await here.submit(
            direct("carol", "bob"), create("7", "alice", ["bob"]), create("8", "alice")
        )
        await here.submit(direct("alice", "bob"), join("8", "carol"))
        assert bob.seqs("bob-carol") == [1] and bob.seqs("7") == [1]
        assert bob.seqs(CHAT) == []


@pytest.mark.parametrize("position", range(8))
@on_a_loop
async def test_the_events_above_the_position_come_in_order(tmp_path: Path, position: int) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*texts(7))
        await delivered(here, 4)
        bob = await here.connect("bob", resumes=True)
        assert await resume(here, bob, alice_bob=position) == Success()
        assert bob.seqs(CHAT) == list(range(position + 1, 8))
        await here.submit(direct("alice", "bob", "live"))
        assert bob.seqs(CHAT) == list(range(position + 1, 9))


@on_a_loop
async def test_the_users_own_events_of_elsewhere_come_too(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*(direct("bob", "alice", f"{n}") for n in range(3)))
        bob = await here.connect("bob", resumes=True)
        await resume(here, bob, alice_bob=0)
        assert bob.seqs(CHAT) == [1, 2, 3]


@on_a_loop
async def test_what_it_posted_while_it_was_held_it_has(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*texts(2))
        bob = await here.connect("bob", resumes=True)
        mine = [direct("bob", "alice", f"{n}", origin=bob.outbox) for n in range(2)]
        await here.submit(mine[0], direct("alice", "bob", "4"), mine[1])
        await resume(here, bob, alice_bob=1)
        assert bob.seqs(CHAT) == [2, 4]


@on_a_loop
async def test_what_is_committed_and_not_released_is_not_lost(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        here.release(*await here.commit(*texts(3)))
        bob = await here.connect("bob", resumes=True)
        committed = await here.commit(*texts(3, first=4))
        # It has 5 from another node.
        assert await resume(here, bob, alice_bob=5) == Success()
        assert bob.frames() == []
        here.release(*committed)
        assert bob.seqs(CHAT) == [6]


# Connections that are live, or catch up by themselves.


@on_a_loop
async def test_a_lower_position_brings_just_what_is_older(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*texts(8))
        await delivered(here, 6)
        bob = await here.connect("bob")
        await settle(here)
        assert bob.seqs(CHAT) == [7, 8]
        await resume(here, bob, alice_bob=4)
        assert bob.seqs(CHAT) == [7, 8, 5, 6]
        await resume(here, bob, alice_bob=5)
        assert bob.seqs(CHAT) == [7, 8, 5, 6], "nothing comes twice"
        await resume(here, bob, alice_bob=0)
        assert bob.seqs(CHAT) == [7, 8, 5, 6, 1, 2, 3, 4]
        assert all(frame["offline"] for frame in bob.frames())
        await here.submit(*texts(1, first=9))
        assert bob.seqs(CHAT)[-1] == 9
        assert bob.of_type("RESYNC") == []


@on_a_loop
async def test_positions_that_it_has_bring_nothing(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*texts(4))
        await delivered(here, 2)
        bob = await here.connect("bob")
        await settle(here)
        for position in (2, 3, 4):
            assert await resume(here, bob, "r", alice_bob=position) == Success(ref="r")
        assert bob.seqs(CHAT) == [3, 4]


@on_a_loop
async def test_the_users_own_first_events_come_when_asked_for(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*(direct("bob", "alice", f"{n}") for n in range(3)), *texts(1))
        bob = await here.connect("bob")
        await settle(here)
        assert bob.seqs(CHAT) == [4]
        await resume(here, bob, alice_bob=1)
        assert bob.seqs(CHAT) == [4, 2, 3]
        await resume(here, bob, alice_bob=0)
        assert bob.seqs(CHAT) == [4, 2, 3, 1]


@on_a_loop
async def test_success_comes_after_what_it_was_catching_up_with(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*texts(8), create("7", "carol", ["bob"]))
        bob = Reader("bob")
        bob.read_slowly()
        await here.subscriptions.connect(bob.outbox)
        await until(lambda: bool(bob.sink.writes))
        resuming = asyncio.create_task(resume(here, bob, alice_bob=0))
        await settle(here)
        assert not resuming.done()
        bob.wake()
        assert await resuming == Success()
        assert bob.seqs(CHAT) == list(range(1, 9)) and bob.seqs("7") == [1]


@on_a_loop
async def test_who_fell_behind_may_resume_from_where_it_was_told(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*texts(4))
        await delivered(here, 3)
        bob = await here.connect("bob")
        await settle(here)
        bob.stall()
        await here.submit(*texts(3, first=5))
        resuming = [asyncio.create_task(resume(here, bob, alice_bob=n)) for n in (4, 1)]
        await settle(here)
        bob.wake()
        await asyncio.gather(*resuming)
        assert sorted(bob.seqs(CHAT)) == [2, 3, 4, 5, 6, 7]
        assert [seq for seq in bob.seqs(CHAT) if seq > 3] == [4, 5, 6, 7]
        assert [frame["afterSeq"] for frame in bob.of_type("RESYNC")] == [4]


@on_a_loop
async def test_live_events_come_while_older_ones_are_filled_in(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*texts(8))
        await delivered(here, 8)
        bob = await here.connect("bob")
        bob.read_slowly()
        resuming = asyncio.create_task(resume(here, bob, alice_bob=0))
        await until(lambda: bool(bob.sink.writes))
        await here.submit(*texts(1, first=9))
        bob.wake()
        await resuming
        assert bob.seqs(CHAT) == [1, 2, 3, 9, 4, 5, 6, 7, 8]


@on_a_loop
async def test_a_fill_goes_in_pieces_at_the_pace_of_the_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catchup, "PIECE_BYTES", 1_000)
    async with core(tmp_path, *USERS) as here:
        await here.submit(*(direct("alice", "bob", "x" * 900) for _ in range(5)))
        await delivered(here, 5)
        bob = await here.connect("bob")
        bob.sip()
        resuming = asyncio.create_task(resume(here, bob, alice_bob=0))
        for count in range(1, 6):
            await until(lambda count=count: len(bob.sink.writes) == count)  # type: ignore[misc]
            await settle(here)
            assert bob.seqs(CHAT) == list(range(1, count + 1))
            bob.sip()
        await resuming


@on_a_loop
async def test_two_resumes_at_once_bring_everything_once(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*texts(9))
        for resumes in (True, False):
            await delivered(here, 8)
            bob = await here.connect("bob", resumes=resumes)
            await asyncio.gather(*(resume(here, bob, alice_bob=n) for n in (5, 2, 4, 0, 7)))
            assert sorted(bob.seqs(CHAT)) == list(range(1, 10))


@on_a_loop
async def test_resumes_are_answered_in_their_order(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*texts(9), create("7", "alice", ["bob"]))
        bob = await here.connect("bob", resumes=True)
        bob.read_slowly()
        answered: list[str] = []

        async def ask(name: str, **positions: int) -> None:
            await resume(here, bob, None, **positions)
            answered.append(name)

        tasks = [asyncio.create_task(ask("slow", alice_bob=0))]
        await until(lambda: bool(bob.sink.writes))
        tasks.append(asyncio.create_task(ask("quick", g7=1)))
        await settle(here)
        assert answered == []
        bob.wake()
        await asyncio.gather(*tasks)
        assert answered == ["slow", "quick"]


# Above the head.


@pytest.mark.parametrize("resumes", [True, False])
@on_a_loop
async def test_a_position_above_the_head_begins_anew(tmp_path: Path, resumes: bool) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*texts(4))
        await delivered(here, 2)
        bob = await here.connect("bob", resumes=resumes)
        await settle(here)
        had = bob.seqs(CHAT)
        assert await resume(here, bob, alice_bob=5) == Success()
        assert bob.of_type("RESYNC") == [{"type": "RESYNC", "chatId": CHAT, "afterSeq": 0}]
        assert sorted(bob.seqs(CHAT)) == [1, 2, 3, 4], "but nothing twice"
        assert kinds(bob)[len(had)] == ("RESYNC", 0), "before what follows"


@on_a_loop
async def test_above_the_head_a_member_begins_at_its_joining(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(
            create("7", "alice", is_open=True),
            post("7", "alice"),
            join("7", "bob"),
            post("7", "bob"),
        )
        bob = await here.connect("bob", resumes=True)
        await resume(here, bob, g7=99)
        assert kinds(bob) == [("RESYNC", 0), ("GROUP_MEMBER_JOINED", 3), ("GROUP_CHAT", 4)]
        assert bob.of_type("RESYNC") == [{"type": "RESYNC", "groupId": "7", "afterSeq": 0}]


@on_a_loop
async def test_a_chat_in_which_nothing_was_said_has_nothing_to_send(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        bob = await here.connect("bob")
        await here.store.open_direct("alice", "bob", NOW_MS)
        assert await resume(here, bob, alice_bob=0) == Success()
        assert bob.frames() == []
        assert await resume(here, bob, alice_bob=3) == Success()
        assert kinds(bob) == [("RESYNC", 0)]
        await here.submit(*texts(1))
        assert bob.seqs(CHAT) == [1]


# Who may have what.


@on_a_loop
async def test_what_cannot_be_served_is_named_and_the_rest_is_served(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(
            *texts(2), direct("alice", "carol"), create("7", "alice"), create("8", "alice", ["bob"])
        )
        await here.submit(leave("8", "bob"))
        bob = await here.connect("bob", resumes=True)
        found = await resume(
            here, bob, "r", alice_bob=1, alice_carol=0, g7=0, g8=5, nowhere=0, g9=99
        )
        names = ("alice-carol", "7", "8", "nowhere", "9")
        assert found == Success(ref="r", errors=dict.fromkeys(names, ErrorCode.NOT_A_MEMBER))
        assert kinds(bob) == [("ONE_TO_ONE_CHAT", 2)]


@on_a_loop
async def test_a_resume_of_nothing_is_answered(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        bob = await here.connect("bob", resumes=True)
        assert await resume(here, bob, "r") == Success(ref="r")


@pytest.mark.parametrize("history", HistoryVisibility)
@pytest.mark.parametrize("resumes", [True, False])
@on_a_loop
async def test_a_new_member_is_sent_no_more_than_it_may_read(
    tmp_path: Path, resumes: bool, history: HistoryVisibility
) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(
            create("7", "alice", is_open=True, history=history),
            *(post("7", "alice", f"{n}") for n in range(4)),
            join("7", "bob"),
            post("7", "alice", "public"),
        )
        bob = await here.connect("bob", resumes=resumes)
        await resume(here, bob, g7=2)
        expected = [3, 4, 5, 6, 7] if history is HistoryVisibility.ALL else [6, 7]
        assert sorted(bob.seqs("7")) == expected or sorted(bob.seqs("7")) == expected[1:]
        assert set(expected) - set(bob.seqs("7")) <= {6}


@on_a_loop
async def test_who_was_held_and_is_removed_is_sent_nothing(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(create("7", "alice", ["bob"]), post("7", "alice"))
        bob = await here.connect("bob", resumes=True)
        await here.submit(remove("7", "alice", "bob"), post("7", "alice", "secret"))
        found = await resume(here, bob, g7=0)
        assert found.errors == {"7": ErrorCode.NOT_A_MEMBER}
        assert bob.frames() == []


# Limits and failures.


@on_a_loop
async def test_a_resume_names_a_limited_number(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        bob = await here.connect("bob", resumes=True)
        most = {f"{n}": 0 for n in range(limits.RESUME_POSITIONS)}
        outbox = bob.outbox
        found = await here.resumes.resume(outbox.principal, outbox, Resume(positions=most))
        assert found.errors is not None and len(found.errors) == limits.RESUME_POSITIONS
        with pytest.raises(ChatError) as refused:
            await here.resumes.resume(
                outbox.principal, outbox, Resume(positions=most | {"more": 0})
            )
        assert refused.value.code is ErrorCode.TOO_LARGE
        assert "`positions`" in refused.value.message
        assert str(limits.RESUME_POSITIONS) in refused.value.message


@on_a_loop
async def test_a_limited_number_of_resumes_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESUMES_WAITING", 3)
    async with core(tmp_path, *USERS) as here:
        await here.submit(*texts(6))
        bob = await here.connect("bob", resumes=True)
        bob.stall()
        resuming = [asyncio.create_task(resume(here, bob, alice_bob=n)) for n in (4, 2, 0)]
        await turns()
        with pytest.raises(ChatError) as refused:
            await resume(here, bob, alice_bob=1)
        assert refused.value.code is ErrorCode.RATE_LIMITED
        assert refused.value.retry_after_ms is not None
        other = await here.connect("bob", resumes=True)
        await resume(here, other, alice_bob=5)
        bob.wake()
        await asyncio.gather(*resuming)
        assert sorted(bob.seqs(CHAT)) == [1, 2, 3, 4, 5, 6]
        assert await resume(here, bob, alice_bob=1) == Success()


@pytest.mark.parametrize("resumes", [True, False])
@on_a_loop
async def test_a_store_that_fails_closes_the_connection(tmp_path: Path, resumes: bool) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*texts(5))
        await delivered(here, 5)
        bob = await here.connect("bob", resumes=resumes)
        async with held(here.reader):
            # The memberships are read, and nothing after that.
            resuming = asyncio.create_task(resume(here, bob, alice_bob=0))
            await turns()
            closing = asyncio.create_task(here.reader.close())
            await turns()
        with pytest.raises(BackendError):
            await resuming
        await closing
        assert bob.closes == [CloseCode.INTERNAL_ERROR]
        assert bob.frames() == []
