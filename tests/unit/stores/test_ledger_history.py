"""chatd.stores.ledger_history: two stores answer as one, whatever the ledger has left."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import pytest

from chatd.errors import BackendError
from chatd.events import EditBody, Event, Message, MessageBody, decode_body
from chatd.stores.ledger import Ledger, Page, Tail, Wanted
from chatd.stores.message_store import Put
from tests.support.builders import append, create, direct, join, leave, post
from tests.support.changes import delete, edit, place, react, update
from tests.support.history import History, HistoryPlace
from tests.support.running import on_a_loop, on_a_quick_loop

USERS: Final = ("alice", "bob", "carol")
CHAT: Final = "alice-bob"
HEAD: Final = 18
BOUNDS: Final = ((0, None), (0, 7), (4, None), (2, 12), (8, 9), (11, 15), (17, None), (18, None))


@asynccontextmanager
async def eventful(stores: HistoryPlace) -> AsyncIterator[History]:
    """A group in which everything has happened."""
    async with stores.history(*USERS) as here:
        two, four, six = (post("7", name, f"said by {name}") for name in ("alice", "bob", "alice"))
        await append(
            here.ledger,
            create("7", "alice", ["bob"], is_open=True),
            two,
            join("7", "carol"),
            four,
            edit(place(two, 2), "alice", "once"),
            six,
            react(place(four, 4), "carol"),
            edit(place(two, 2), "alice", "twice"),
            delete(place(four, 4), "bob"),
            post("7", "carol", "ten"),
            react(place(six, 6), "bob"),
            react(place(six, 6), "carol", "🎉"),
            react(place(six, 6), "bob", remove=True),
            post("7", "bob", "fourteen"),
            leave("7", "carol"),
            edit(place(six, 6), "alice", "edited"),
            post("7", "alice", "seventeen"),
            update("7", "alice", name="renamed"),
        )
        yield here


class Answers(NamedTuple):
    """All that can be asked."""

    events: list[list[Event]]
    pages: list[Page]
    posts: list[list[tuple[int, str]]]
    tails: list[Tail]


def check(found: Answers, expected: Answers, when: str) -> None:
    for asked in Answers._fields:
        assert getattr(found, asked) == getattr(expected, asked), (when, asked)


async def answers(ledger: Ledger) -> Answers:
    wanted = [
        Wanted("7", head, floor, read, cap)
        for head in (HEAD, 13, 8, 3)
        for floor in (0, 2, 9)
        for read in (0, 5, 16)
        for cap in (1, 10)
    ]
    return Answers(
        [
            await ledger.read("7", after=after, before=before, limit=limit)
            for after, before in BOUNDS
            for limit in (3, 99)
        ],
        [
            await ledger.page("7", after=after, before=before, limit=limit, newest=newest)
            for after, before in BOUNDS
            for limit in (2, 9)
            for newest in (False, True)
        ],
        [
            await ledger.posts("7", after=after, up_to=up_to)
            for after, up_to in ((0, HEAD), (3, 14), (13, 14), (14, 14))
        ],
        [tail for one in ("alice", "carol") for tail in await ledger.tails(one, wanted)],
    )


@pytest.mark.slow
@on_a_quick_loop
async def test_wherever_the_border_is_the_answers_are_the_same(stores: HistoryPlace) -> None:
    async with eventful(stores) as here:
        expected = await answers(here.ledger)
        assert [one.posted.seq for one in expected.pages[3].messages] == [2, 4, 6, 10, 14, 17]
        for lowest in range(2, HEAD + 2):
            await here.keep("7", range(lowest, HEAD + 1))
            check(await answers(here.ledger), expected, f"from {lowest} on")
        assert here.metrics.holes == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
@on_a_quick_loop
async def test_the_ledger_may_lack_any_numbers(stores: HistoryPlace, seed: int) -> None:
    """At midnight, numbers and days may be in another order."""
    chance = random.Random(seed)
    async with eventful(stores) as here:
        expected = await answers(here.ledger)
        kept = set(range(1, HEAD + 1))
        while kept:
            kept -= set(chance.sample(sorted(kept), min(3, len(kept))))
            await here.keep("7", kept)
            check(await answers(here.ledger), expected, f"only {sorted(kept)}")
        assert here.metrics.holes == 0


@on_a_loop
async def test_a_put_that_is_late_is_not_missed(stores: HistoryPlace) -> None:
    async with stores.history(*USERS) as here:
        ledger = here.ledger
        said = [direct("alice", "bob", f"{n}") for n in range(1, 5)]
        one, two, three, four = (place(entry, n) for n, entry in enumerate(said, 1))
        await append(ledger, *said)
        await append(
            here.unput,
            edit(one, "alice", "edited"),
            react(two, "bob"),
            delete(three, "alice"),
            edit(four, "alice", "edited"),
            delete(four, "alice"),
        )
        expected = await ledger.page(CHAT, after=0, before=None, limit=9, newest=True)
        events = await ledger.read(CHAT, limit=99)
        await here.keep(CHAT, range(5, 10))
        # The message store was told of none of the changes.
        page = await ledger.page(CHAT, after=0, before=None, limit=9, newest=True)
        assert page == expected
        assert [content(message) for message in page.messages] == ["edited", "2", "", ""]
        assert [message.is_deleted for message in page.messages] == [False, False, True, True]
        assert await ledger.read(CHAT, limit=99) == events
        posts = [(4, "alice"), (3, "alice"), (2, "alice"), (1, "alice")]
        assert await ledger.posts(CHAT, after=0, up_to=9) == posts
        (tail,) = await ledger.tails("bob", [Wanted(CHAT, 9, 0, 0, 10)])
        assert tail == Tail(2, expected.messages[-1])


@on_a_loop
async def test_an_edit_of_a_deleted_message_says_nothing_though_its_delete_comes_late(
    stores: HistoryPlace,
) -> None:
    async with stores.history(*USERS) as here:
        said, edited = direct("alice", "bob", "secret"), direct("alice", "bob", "stays")
        await append(here.ledger, said, edited)
        await append(here.ledger, edit(place(said, 1), "alice", "secret too"))
        await append(here.ledger, edit(place(edited, 2), "alice", "stays too"))
        await append(here.unput, delete(place(said, 1), "alice"))
        await here.keep(CHAT, [5])
        for after, expected in ((0, ["", "stays", "", "stays too"]), (2, ["", "stays too"])):
            events = await here.ledger.read(CHAT, after=after, limit=99)
            assert [words(event) for event in events[:-1]] == expected


@on_a_loop
async def test_what_the_ledger_has_is_not_asked_of_the_message_store(
    stores: HistoryPlace,
) -> None:
    async with eventful(stores) as here:
        ledger = await here.without_store()
        expected = await answers(here.ledger)
        assert await answers(ledger) == expected
        await here.keep("7", range(10, HEAD + 1))
        assert len(await ledger.read("7", after=9, limit=99)) == 9
        assert len(await ledger.read("7", after=11, limit=3)) == 3
        page = await ledger.page("7", after=0, before=None, limit=2, newest=True)
        assert [message.posted.seq for message in page.messages] == [14, 17]
        assert page.has_more
        page = await ledger.page("7", after=9, before=None, limit=9, newest=False)
        assert [message.posted.seq for message in page.messages] == [10, 14, 17]
        posts = [(17, "alice"), (14, "bob"), (10, "carol")]
        assert await ledger.posts("7", after=9, up_to=HEAD) == posts
        (tail,) = await ledger.tails("bob", [Wanted("7", HEAD, 0, 9, 10)])
        assert tail.unread == 2
        (tail,) = await ledger.tails("bob", [Wanted("7", HEAD, 0, 0, 1)])
        assert tail.unread == 2, "more do not count"
        assert await ledger.heads(["7"]) == {"7": HEAD}


@on_a_loop
async def test_what_it_has_not_needs_the_message_store(stores: HistoryPlace) -> None:
    async with eventful(stores) as here:
        ledger = await here.without_store()
        await here.keep("7", range(10, HEAD + 1))
        for asking in (
            ledger.read("7", after=8, limit=99),
            ledger.read("7", limit=2),
            ledger.page("7", after=0, before=None, limit=3, newest=True),
            ledger.page("7", after=8, before=None, limit=1, newest=False),
            ledger.posts("7", after=8, up_to=HEAD),
        ):
            with pytest.raises(BackendError):
                await asking
        # But for tails, which are of what there is.
        old, none = await ledger.tails(
            "bob", [Wanted("7", HEAD, 0, 8, 10), Wanted("7", 9, 0, 9, 10)]
        )
        assert (old.unread, none) == (2, Tail(0, None))


@on_a_loop
async def test_a_number_that_neither_has_is_an_alarm(
    stores: HistoryPlace, error_lines: list[str]
) -> None:
    async with stores.history(*USERS) as here:
        for n in range(1, 11):
            ledger = here.unput if n in (3, 4, 7) else here.ledger
            await append(ledger, direct("alice", "bob", f"{n}"))
        await here.keep(CHAT, [8, 9, 10])
        assert error_lines == []
        for limit, expected, lost in (
            (99, [1, 2, 5, 6, 8, 9, 10], [3, 4, 7]),
            (2, [1, 2], []),
            (3, [1, 2, 5], [3, 4]),
            (5, [1, 2, 5, 6, 8], [3, 4, 7]),
        ):
            before = here.metrics.holes
            events = await here.ledger.read(CHAT, limit=limit)
            assert [event.seq for event in events] == expected
            assert here.metrics.holes == before + len(lost)
        assert error_lines == [
            f"{CHAT} is not whole: {count} numbers are in no store, the first is 3\n"
            for count in (3, 2, 3)
        ]
        await here.keep(CHAT, [])
        assert [event.seq for event in await here.ledger.read(CHAT, after=9, limit=9)] == [10]
        here.metrics.holes = 0
        await append(here.unput, direct("alice", "bob", "11"))
        await here.keep(CHAT, [])
        assert await here.ledger.read(CHAT, after=10, limit=9) == []
        assert here.metrics.holes == 1, "the head is known"


@on_a_loop
async def test_a_message_is_shown_though_its_edit_is_lost(
    stores: HistoryPlace, error_lines: list[str]
) -> None:
    async with stores.history(*USERS) as here:
        said = direct("alice", "bob", "first")
        await append(here.ledger, said, direct("alice", "bob", "second"))
        await append(here.unput, edit(place(said, 1), "alice", "edited"))
        await here.keep(CHAT, [])
        page = await here.ledger.page(CHAT, after=0, before=None, limit=9, newest=True)
        assert [content(message) for message in page.messages] == ["first", "second"]
        assert [message.version for message in page.messages] == [2, 1]
        assert here.metrics.holes == 1 and len(error_lines) == 1


@on_a_loop
async def test_the_last_edit_is_shown_where_its_message_does_not_know_it_yet(
    stores: HistoryPlace,
) -> None:
    async with stores.history(*USERS) as here:
        said = direct("alice", "bob", "first")
        await append(here.ledger, said, edit(place(said, 1), "alice", "second"))
        await append(here.unput, edit(place(said, 1), "alice", "third"))
        (event,) = await here.ledger.read(CHAT, after=2, limit=1)
        # As a put that stopped half-way leaves it.
        await here.store.put([Put(event)])
        await here.keep(CHAT, [])
        page = await here.ledger.page(CHAT, after=0, before=None, limit=9, newest=True)
        assert [content(message) for message in page.messages] == ["third"]
        assert page.messages[0].version == 3 and here.metrics.holes == 0


@pytest.mark.slow
@on_a_quick_loop
async def test_a_page_is_whole_while_events_leave_the_ledger(stores: HistoryPlace) -> None:
    async with stores.history(*USERS) as here:
        said = direct("alice", "bob", "0")
        await append(here.ledger, said)
        await append(
            here.ledger,
            *(edit(place(said, 1), "alice", f"{n}") for n in range(1, 60)),
            *(direct("alice", "bob", f"{n}") for n in range(60)),
        )
        expected = [
            await here.ledger.page(CHAT, after=0, before=None, limit=30, newest=newest)
            for newest in (True, False)
        ]
        for lowest in range(2, 122, 3):
            *pages, _ = await asyncio.gather(
                here.ledger.page(CHAT, after=0, before=None, limit=30, newest=True),
                here.ledger.page(CHAT, after=0, before=None, limit=30, newest=False),
                here.keep(CHAT, range(lowest, 121)),
            )
            assert pages == expected
        assert here.metrics.holes == 0


def content(message: Message) -> str:
    """What a message says by now."""
    return words(message.edit or message.posted)


def words(event: Event) -> str:
    body = decode_body(event.kind, event.body)
    assert isinstance(body, MessageBody | EditBody)
    return body.content
