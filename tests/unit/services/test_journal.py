"""chatd.services.journal, on the embedded ledger."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from chatd.errors import ChatError
from chatd.events import EventKind, MessageBody
from chatd.services import journal as module
from chatd.services.journal import HELD_FROM
from chatd.stores.ledger import Entry, Outcome
from chatd.stores.thread_sqlite import Job
from protocol.errors import ErrorCode
from tests.support.builders import (
    Core,
    Reader,
    core,
    create,
    direct,
    entry,
    held,
    join,
    leave,
    post,
)
from tests.support.changes import delete, place
from tests.support.running import on_a_loop, turns

USERS = ("alice", "bob", "carol")
CHAT = "alice-bob"


async def audience(here: Core, group_id: str, size: int) -> list[Reader]:
    """A new group of alice, with this many connections of hers, live in it."""
    readers = [await here.connect("alice", f"{n}") for n in range(size)]
    await here.submit(create(group_id, "alice"))
    for reader in readers:
        reader.sink.writes.clear()
    return readers


def chain(here: Core, *entries: Entry) -> None:
    """Submit the first entry; each other one while the one before it is being acked."""
    for one, following in zip(entries, entries[1:], strict=False):
        one.done = lambda _entry, _outcome, following=following: here.journal.submit(following)
    here.journal.submit(entries[0])


@on_a_loop
async def test_entries_are_numbered_in_the_order_of_their_submission(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        acked: list[tuple[str, int]] = []
        bob = await here.connect("bob")

        def done(entry: Entry, outcome: Outcome) -> None:
            assert isinstance(entry.body, MessageBody)
            acked.append((entry.body.content, outcome.seq))

        for n in range(60):
            here.journal.submit(direct("alice", "bob", f"{n}", done=done))
            if n % 7 == 0:
                await asyncio.sleep(0)
        await here.journal.drain()
        assert acked == [(f"{n}", n + 1) for n in range(60)]
        assert [frame["content"] for frame in bob.frames()] == [f"{n}" for n in range(60)]


@on_a_loop
async def test_what_one_turn_brings_shares_a_commit(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*(direct("alice", "bob", f"{n}") for n in range(20)))
        assert here.metrics.commits == 1
        assert here.metrics.events == 20
        assert here.metrics.journal_waiting == 0


@on_a_loop
async def test_what_gathers_during_a_commit_shares_the_next(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        async with held(here.writer):
            for n in range(10):
                here.journal.submit(direct("alice", "bob", f"{n}"))
                await turns(3)
        await here.journal.drain()
        assert (here.metrics.commits, here.metrics.events) == (2, 10)


@on_a_loop
async def test_a_commit_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENTRIES_A_COMMIT", 3)
    async with core(tmp_path, *USERS) as here:
        outcomes = await here.submit(*(direct("alice", "bob", f"{n}") for n in range(8)))
        assert [outcome.seq for outcome in outcomes] == list(range(1, 9))
        assert here.metrics.commits == 3


@on_a_loop
async def test_too_many_entries_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ENTRIES_WAITING", 2)
    async with core(tmp_path, *USERS) as here:
        for n in range(2):
            here.journal.submit(direct("alice", "bob", f"{n}"))
        with pytest.raises(ChatError) as refused:
            here.journal.submit(direct("alice", "bob", "one too many"))
        assert refused.value.code is ErrorCode.UNAVAILABLE
        assert refused.value.temporary and refused.value.retry_after_ms is not None
        await here.journal.drain()
        assert await here.ledger.heads([CHAT]) == {CHAT: 2}
        await here.submit(direct("alice", "bob", "later"))


@on_a_loop
async def test_the_ack_comes_before_the_events_and_after_the_commit(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        bob = await here.connect("bob")
        sent_when_acked: list[int] = []
        reading: list[asyncio.Task[dict[str, int]]] = []

        def done(entry: Entry, outcome: Outcome) -> None:
            sent_when_acked.append(len(bob.frames()))
            reading.append(asyncio.create_task(here.ledger.heads([CHAT])))

        here.journal.submit(direct("alice", "bob", "1", done=done))
        here.journal.submit(direct("alice", "bob", "2", done=done))
        await here.journal.drain()
        assert sent_when_acked == [0, 0]
        assert bob.seqs(CHAT) == [1, 2]
        assert await reading[0] == {CHAT: 2}


@on_a_loop
async def test_a_busy_conversation_is_held_once_for_the_commit_that_follows(
    tmp_path: Path,
) -> None:
    async with core(tmp_path, *USERS) as here:
        readers = await audience(here, "7", HELD_FROM)
        chain(here, *(post("7", "alice", f"{n}") for n in range(3)))
        await here.journal.drain()
        for reader in readers:
            assert reader.seqs("7") == [2, 3, 4]
            assert len(reader.sink.writes) == 2
        assert here.metrics.commits == 4


@on_a_loop
async def test_a_small_conversation_is_not_held(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        readers = await audience(here, "7", HELD_FROM - 1)
        chain(here, *(post("7", "alice", f"{n}") for n in range(3)))
        await here.journal.drain()
        for reader in readers:
            assert reader.seqs("7") == [2, 3, 4]
            assert len(reader.sink.writes) == 3


@on_a_loop
async def test_what_is_held_is_released_when_nothing_follows(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        readers = await audience(here, "7", HELD_FROM)
        # What follows is in the same conversation, and is refused.
        chain(here, post("7", "alice"), post("7", "bob"))
        await here.journal.drain()
        assert [reader.seqs("7") for reader in readers] == [[2]] * HELD_FROM


@on_a_loop
async def test_a_conversation_that_is_held_does_not_hold_others(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        readers = await audience(here, "7", HELD_FROM)
        bob = await here.connect("bob")
        seen: list[tuple[int, int]] = []

        def look(entry: Entry, outcome: Outcome) -> None:
            seen.append((len(bob.seqs("bob-carol")), len(readers[0].seqs("7"))))

        follower = post("7", "alice", "2", done=look)
        first = post("7", "alice", "1", done=lambda _, __: here.journal.submit(follower))
        here.journal.submit(first)
        here.journal.submit(direct("carol", "bob"))
        await here.journal.drain()
        assert seen == [(1, 0)]
        assert readers[0].seqs("7") == [2, 3]


@on_a_loop
async def test_members_change_where_the_events_say_so_also_when_held(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        readers = [await here.connect("alice", f"{n}") for n in range(HELD_FROM)]
        bob = await here.connect("bob")
        await here.submit(create("7", "alice", is_open=True))
        chain(
            here,
            post("7", "alice", "before"),
            join("7", "bob"),
            post("7", "alice", "to bob"),
            leave("7", "bob"),
            post("7", "alice", "after"),
        )
        await here.journal.drain()
        assert bob.seqs("7") == [3, 4, 5]
        assert readers[-1].seqs("7") == [1, 2, 3, 4, 5, 6]


@on_a_loop
async def test_a_refusal_is_told_and_released_to_nobody(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        bob = await here.connect("bob")
        outcomes = await here.submit(post("7", "alice"), direct("alice", "bob"))
        assert [outcome.code for outcome in outcomes] == [ErrorCode.NOT_A_MEMBER, None]
        assert len(bob.frames()) == 1
        assert here.metrics.events == 1


@on_a_loop
async def test_a_repeat_is_acked_and_not_delivered_again(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        bob = await here.connect("bob")
        (first,) = await here.submit(direct("alice", "bob", key="k"))
        (repeat,) = await here.submit(direct("alice", "bob", key="k"))
        assert (repeat.seq, repeat.nonce, repeat.at_ms) == (first.seq, first.nonce, first.at_ms)
        assert (first.duplicate, repeat.duplicate) == (False, True)
        assert bob.seqs(CHAT) == [1]
        assert (here.metrics.events, here.metrics.duplicates) == (1, 1)


@on_a_loop
async def test_a_mac_is_of_the_body_and_only_with_a_key(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        same, again, other, keyless = (
            entry(CHAT, EventKind.DIRECT_MESSAGE, "alice", MessageBody(content=text, to="bob"))
            for text in ("x", "x", "y", "x")
        )
        same.key, again.key, other.key = "1", "2", "3"
        await here.submit(same, again, other, keyless)
        assert same.mac == again.mac != other.mac
        assert len(same.mac) == 16
        assert keyless.mac == b""
        assert same.sealed == keyless.sealed != other.sealed


@on_a_loop
async def test_two_who_have_both_written_are_told_of(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        told: list[tuple[str, str]] = []
        here.journal.befriended = lambda one, other: told.append((one, other))
        await here.submit(direct("alice", "bob"), direct("bob", "alice"), direct("alice", "bob"))
        assert told == [("bob", "alice")]


@on_a_loop
async def test_a_closed_ledger_makes_entries_unavailable(
    tmp_path: Path, error_lines: list[str]
) -> None:
    async with core(tmp_path, *USERS) as here:
        bob = await here.connect("bob")
        await here.writer.close()
        outcomes = await here.submit(direct("alice", "bob", "1"), direct("alice", "bob", "2"))
        assert [outcome.code for outcome in outcomes] == [ErrorCode.UNAVAILABLE] * 2
        assert bob.frames() == []
        assert len(error_lines) == 1


@on_a_loop
async def test_a_full_disk_makes_entries_unavailable_until_it_has_room(
    tmp_path: Path, error_lines: list[str]
) -> None:
    async with core(tmp_path, *USERS) as here:
        bob = await here.connect("bob")
        await here.submit(direct("alice", "bob", "before"))
        await here.writer.submit(limit_pages(room_for=8))
        outcomes = await here.submit(
            *(direct("alice", "bob", f"{n}" + "x" * 16_000, key=f"{n}") for n in range(5))
        )
        assert {outcome.code for outcome in outcomes} == {ErrorCode.UNAVAILABLE}
        assert bob.seqs(CHAT) == [1]
        await here.writer.submit(limit_pages(room_for=100_000))
        outcomes = await here.submit(
            *(direct("alice", "bob", f"{n}" + "x" * 16_000, key=f"{n}") for n in range(5))
        )
        assert [outcome.seq for outcome in outcomes] == [2, 3, 4, 5, 6]
        assert not any(outcome.duplicate for outcome in outcomes)
        assert bob.seqs(CHAT) == [1, 2, 3, 4, 5, 6]
        assert error_lines


def limit_pages(*, room_for: int) -> Job[None]:
    """A job that lets the database grow by so many pages and no more."""

    def job(connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages + room_for}")

    return job


@on_a_loop
async def test_an_entry_that_the_ledger_cannot_digest_fails_alone(
    tmp_path: Path, error_lines: list[str]
) -> None:
    async with core(tmp_path, *USERS) as here:
        bob = await here.connect("bob")
        broken = entry(CHAT, EventKind.DIRECT_MESSAGE, "alice", MessageBody(content="to nobody"))
        outcomes = await here.submit(
            direct("alice", "bob", "1"), broken, direct("alice", "bob", "2", key="k")
        )
        assert [outcome.code for outcome in outcomes] == [None, ErrorCode.INTERNAL, None]
        assert bob.seqs(CHAT) == [1, 2]
        assert "a bug in the ledger" in error_lines[0]


@on_a_loop
async def test_a_caller_that_fails_does_not_take_the_others(
    tmp_path: Path, error_lines: list[str]
) -> None:
    def fail(entry: Entry, outcome: Outcome) -> None:
        raise RuntimeError("a caller's bug")

    async with core(tmp_path, *USERS) as here:
        bob = await here.connect("bob")
        acked: list[int] = []
        here.journal.submit(direct("alice", "bob", done=fail))
        here.journal.submit(
            direct("alice", "bob", done=lambda _, outcome: acked.append(outcome.seq))
        )
        await here.journal.drain()
        assert acked == [2]
        assert bob.seqs(CHAT) == [1, 2]
        assert len(error_lines) == 1


@on_a_loop
async def test_a_delivery_that_fails_does_not_take_other_conversations(
    tmp_path: Path, error_lines: list[str]
) -> None:
    async with core(tmp_path, *USERS) as here:
        bob, carol = await here.connect("bob"), await here.connect("carol")

        def fail(data: bytes) -> None:
            raise RuntimeError("a socket's bug")

        bob.outbox.write = fail
        outcomes = await here.submit(direct("alice", "bob"), direct("alice", "carol"))
        assert [outcome.code for outcome in outcomes] == [None, None]
        assert carol.seqs("alice-carol") == [1]
        assert len(error_lines) == 1 and CHAT in error_lines[0]


@on_a_loop
async def test_draining_an_idle_journal_ends_at_once(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.journal.drain()
        await here.submit(direct("alice", "bob"))
        await here.journal.drain()


@on_a_loop
async def test_settled_is_after_the_release_of_what_is_held_too(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        readers = await audience(here, "7", HELD_FROM)
        seen: list[list[int]] = []

        async def look() -> None:
            await here.journal.settled()
            seen.append(readers[0].seqs("7"))

        looking: list[asyncio.Task[None]] = []

        def committed(_: Entry, __: Outcome) -> None:
            # The first is committed and, since another follows, held.
            here.journal.submit(post("7", "alice", "2"))
            looking.append(asyncio.create_task(look()))

        here.journal.submit(post("7", "alice", "1", done=committed))
        await here.journal.drain()
        await asyncio.gather(*looking)
        assert seen == [[2, 3]]


@on_a_loop
async def test_settled_does_not_wait_when_nothing_is_under_way(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.journal.settled()
        await here.submit(direct("alice", "bob"))
        await here.journal.settled()


@on_a_loop
async def test_what_was_released_is_told_by_conversation(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        told: list[tuple[str, int, int]] = []
        here.journal.released = lambda *what: told.append(what)
        await here.submit(
            direct("alice", "bob", "1", key="k"),
            direct("alice", "carol"),
            direct("bob", "alice", "2"),
            post("7", "alice"),
        )
        assert told == [(CHAT, 1, 2), ("alice-carol", 1, 1)]
        await here.submit(direct("alice", "bob", "1", key="k"))
        assert len(told) == 2, "a repeat is no news"
        await here.submit(direct("alice", "bob", "3"))
        assert told[2:] == [(CHAT, 3, 3)]


@on_a_loop
async def test_what_is_held_is_told_when_it_is_released(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        told: list[tuple[str, int, int]] = []
        await audience(here, "7", HELD_FROM)
        here.journal.released = lambda *what: told.append(what)
        chain(here, *(post("7", "alice", f"{n}") for n in range(3)))
        await here.journal.drain()
        assert told == [("7", 2, 3), ("7", 4, 4)]


@on_a_loop
async def test_pages_are_forgotten_before_a_delete_is_acked(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        said = direct("alice", "bob", "secret")
        await here.submit(said)
        await here.pages.after(CHAT, 0, 1)
        assert here.metrics.page_bytes
        kept: list[int] = []

        def acked(_: Entry, outcome: Outcome) -> None:
            assert outcome.code is None
            kept.append(here.metrics.page_bytes)

        here.journal.submit(delete(place(said, 1), "alice", done=acked))
        await here.journal.drain()
        assert kept == [0]
