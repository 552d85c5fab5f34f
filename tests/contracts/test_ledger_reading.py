"""Port Ledger: reading ranges and heads."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chatd.events import EventKind
from chatd.stores.ledger import Ledger
from tests.contracts.conftest import StoresBackend, on_every_ledger_and_with_tls
from tests.support.builders import NOW_MS, add_users, append, create, direct, join, post
from tests.support.running import on_a_loop

pytestmark = on_every_ledger_and_with_tls

CHAT = "alice-bob"
EVENTS = 20


@asynccontextmanager
async def ledger_with_events(stores: StoresBackend) -> AsyncIterator[Ledger]:
    """Numbers 1 to `EVENTS` of a direct conversation, beside another conversation."""
    async with stores.open() as (users, _, ledger):
        await add_users(users, "alice", "bob", "carol")
        for n in range(EVENTS):
            await append(ledger, direct("alice", "bob", f"{n + 1}"), direct("alice", "carol"))
        yield ledger


async def read(
    ledger: Ledger,
    *,
    after: int = 0,
    before: int | None = None,
    limit: int,
) -> list[int]:
    events = await ledger.read(CHAT, after=after, before=before, limit=limit)
    assert {event.conversation_id for event in events} <= {CHAT}
    return [event.seq for event in events]


@on_a_loop
async def test_an_event_is_read_as_it_was_appended(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, "alice", "bob")
        entries = [create("7", "alice", is_open=True), join("7", "bob"), post("7", "bob", "ü\n")]
        await append(ledger, *entries)
        events = await ledger.read("7", limit=10)
        assert [event.kind for event in events] == [
            EventKind.GROUP_CREATED,
            EventKind.MEMBER_JOINED,
            EventKind.GROUP_MESSAGE,
        ]
        assert [event.body for event in events] == [entry.sealed for entry in entries]
        assert [event.nonce for event in events] == [entry.nonce for entry in entries]
        assert [event.sender for event in events] == ["alice", "bob", "bob"]
        assert {event.at_ms for event in events} == {NOW_MS}


@on_a_loop
async def test_a_range_is_ascending_and_excludes_its_ends(stores: StoresBackend) -> None:
    async with ledger_with_events(stores) as ledger:
        assert await read(ledger, limit=100) == list(range(1, EVENTS + 1))
        assert await read(ledger, after=15, limit=100) == [16, 17, 18, 19, 20]
        assert await read(ledger, before=4, limit=100) == [1, 2, 3]
        assert await read(ledger, after=3, before=7, limit=100) == [4, 5, 6]
        assert await read(ledger, after=EVENTS, limit=100) == []
        assert await read(ledger, after=5, before=6, limit=100) == []
        assert await read(ledger, before=0, limit=100) == []


@on_a_loop
async def test_a_limit_keeps_the_lowest(stores: StoresBackend) -> None:
    async with ledger_with_events(stores) as ledger:
        assert await read(ledger, limit=3) == [1, 2, 3]
        assert await read(ledger, after=4, before=12, limit=2) == [5, 6]
        assert await read(ledger, after=18, limit=5) == [19, 20]


@on_a_loop
async def test_what_is_not_there_reads_as_nothing(stores: StoresBackend) -> None:
    async with ledger_with_events(stores) as ledger:
        assert await ledger.read("nowhere", limit=10) == []


@on_a_loop
async def test_heads_are_the_last_numbers(stores: StoresBackend) -> None:
    async with ledger_with_events(stores) as ledger:
        found = await ledger.heads([CHAT, "nowhere", "alice-carol"])
        assert found == {CHAT: EVENTS, "alice-carol": EVENTS}
        assert await ledger.heads([]) == {}


@on_a_loop
async def test_an_appended_event_can_be_read_at_once(stores: StoresBackend) -> None:
    async with ledger_with_events(stores) as ledger:
        for n in range(EVENTS + 1, EVENTS + 20):
            await append(ledger, direct("bob", "alice", f"{n}"))
            assert await read(ledger, after=n - 1, limit=10) == [n]
            assert await ledger.heads([CHAT]) == {CHAT: n}
