"""Port Ledger: pages of messages with what became of them, and who posted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chatd.events import Event, EventKind
from chatd.stores.ledger import Ledger, Page
from tests.contracts.conftest import StoresBackend, on_every_ledger
from tests.support.builders import add_users, append, create, direct, join, leave, post
from tests.support.changes import delete, edit, place, react, update
from tests.support.running import on_a_loop, on_a_quick_loop

pytestmark = on_every_ledger

MESSAGES = (2, 4, 5, 8, 10)
"""Where the messages are; at the other numbers up to 12 is something else."""


@asynccontextmanager
async def ledger_with_messages(stores: StoresBackend) -> AsyncIterator[Ledger]:
    """A group in which alice and bob have said something, and more has happened."""
    async with stores.open() as (users, _, ledger):
        await add_users(users, "alice", "bob", "carol")
        first, second = post("7", "alice", "2"), post("7", "bob", "4")
        await append(
            ledger,
            create("7", "alice", ["bob"], is_open=True),
            first,
            join("7", "carol"),
            second,
            post("7", "alice", "5"),
            edit(place(first, 2), "alice"),
            react(place(second, 4), "alice"),
            post("7", "alice", "8"),
            leave("7", "carol"),
            post("7", "bob", "10"),
            update("7", "alice", name="renamed"),
            delete(place(second, 4), "bob"),
            direct("alice", "bob"),
        )
        yield ledger


def seqs(page: Page) -> list[int]:
    return [message.posted.seq for message in page.messages]


@on_a_loop
async def test_a_page_is_of_messages_alone(stores: StoresBackend) -> None:
    async with ledger_with_messages(stores) as ledger:
        for newest in (False, True):
            page = await ledger.page("7", after=0, before=None, limit=10, newest=newest)
            assert seqs(page) == list(MESSAGES)
            assert (page.has_more, page.head) == (False, 12)
            posted = [message.posted for message in page.messages]
            assert {event.kind for event in posted} == {EventKind.GROUP_MESSAGE}


@on_a_loop
async def test_a_page_is_what_the_log_says_of_its_messages(stores: StoresBackend) -> None:
    async with ledger_with_messages(stores) as ledger:
        page = await ledger.page("7", after=0, before=None, limit=10, newest=True)
        events = {event.seq: event for event in await ledger.read("7", limit=100)}
        assert [message.posted for message in page.messages] == [events[seq] for seq in MESSAGES]
        found: list[tuple[int, Event | None, bool]] = [
            (message.version, message.edit, message.is_deleted) for message in page.messages
        ]
        assert found[:2] == [(2, events[6], False), (1, None, True)]
        assert found[2:] == [(1, None, False)] * 3
        assert not any(message.reactions for message in page.messages)


@on_a_loop
async def test_a_limit_keeps_the_lowest_or_the_highest(stores: StoresBackend) -> None:
    async with ledger_with_messages(stores) as ledger:
        for limit in range(1, 7):
            lowest = await ledger.page("7", after=0, before=None, limit=limit, newest=False)
            highest = await ledger.page("7", after=0, before=None, limit=limit, newest=True)
            assert seqs(lowest) == list(MESSAGES[:limit])
            assert seqs(highest) == list(MESSAGES[-limit:])
            assert lowest.has_more is highest.has_more is (limit < len(MESSAGES))


@on_a_loop
async def test_a_range_excludes_its_ends(stores: StoresBackend) -> None:
    async with ledger_with_messages(stores) as ledger:
        for after in (0, 1, 2, 5, 9, 10, 12):
            for before in (0, 2, 3, 5, 8, 10, 11, 13, None):
                top = 99 if before is None else before
                inside = [seq for seq in MESSAGES if after < seq < top]
                for newest in (False, True):
                    page = await ledger.page(
                        "7", after=after, before=before, limit=2, newest=newest
                    )
                    assert seqs(page) == (inside[-2:] if newest else inside[:2])
                    assert (page.has_more, page.head) == (len(inside) > 2, 12)


@on_a_loop
async def test_a_conversation_without_events_has_an_empty_page(stores: StoresBackend) -> None:
    async with ledger_with_messages(stores) as ledger:
        page = await ledger.page("nowhere", after=0, before=None, limit=5, newest=True)
        assert page == Page([], False, 0)


@on_a_quick_loop
async def test_a_page_is_of_one_moment(stores: StoresBackend) -> None:
    async with ledger_with_messages(stores) as ledger:
        said = post("7", "alice", "1")
        await append(ledger, said)
        at = place(said, 13)
        for n in range(2, 60):
            changing = ledger.append([edit(at, "alice", f"{n}"), post("7", "bob")])
            page = await ledger.page("7", after=12, before=None, limit=200, newest=True)
            # The head says which edits there were, and which messages.
            assert page.messages[0].version == 1 + (page.head - 13) // 2
            assert len(page.messages) == page.messages[0].version
            await changing


@on_a_loop
async def test_posts_are_messages_with_their_senders(stores: StoresBackend) -> None:
    async with ledger_with_messages(stores) as ledger:
        everyone = {2: "alice", 4: "bob", 5: "alice", 8: "alice", 10: "bob"}
        assert dict(await ledger.posts("7", after=0, up_to=99)) == everyone
        assert dict(await ledger.posts("7", after=2, up_to=8)) == {4: "bob", 5: "alice", 8: "alice"}
        assert await ledger.posts("7", after=8, up_to=9) == []
        assert await ledger.posts("7", after=8, up_to=8) == []
        assert await ledger.posts("nowhere", after=0, up_to=9) == []


@on_a_quick_loop
async def test_of_many_posts_the_newest_are_told(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, "alice", "bob")
        await append(ledger, *(direct("alice", "bob") for _ in range(1_010)))
        posts = await ledger.posts("alice-bob", after=0, up_to=1_005)
        assert sorted(seq for seq, _ in posts) == list(range(6, 1_006))
