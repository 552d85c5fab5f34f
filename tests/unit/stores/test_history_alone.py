"""chatd.stores.history_alone: what the message store answers while the recent events are away."""

from typing import Final

import pytest

from chatd.errors import BackendError
from chatd.stores.history_alone import LATELY
from chatd.stores.ledger import Page, Wanted
from tests.support.builders import append, create, direct, join, post
from tests.support.changes import delete, edit, place, react
from tests.support.history import History, HistoryPlace
from tests.support.running import on_a_loop, on_a_quick_loop

USERS: Final = ("alice", "bob", "carol")
CHAT: Final = "alice-bob"


async def put_all_but(here: History, head: int, *unput: int) -> None:
    """A conversation of `head` messages, some of which the message store does not have."""
    for n in range(1, head + 1):
        await append(here.unput if n in unput else here.ledger, direct("alice", "bob", f"{n}"))


def seqs(page: Page) -> list[int]:
    return [message.posted.seq for message in page.messages]


@on_a_loop
async def test_what_was_put_is_answered_as_by_both(stores: HistoryPlace) -> None:
    async with stores.history(*USERS) as here:
        first, second = post("7", "bob", "first"), post("7", "alice", "second")
        await append(
            here.ledger,
            create("7", "alice", ["bob"], is_open=True),
            first,
            edit(place(first, 2), "bob", "edited"),
            join("7", "carol"),
            second,
            react(place(first, 2), "alice"),
            post("7", "carol"),
            delete(place(second, 5), "alice"),
        )
        alone = await here.without_recent()
        for after, before in ((0, None), (2, None), (3, 7), (8, None), (0, 3), (7, 8)):
            for limit in (1, 2, 9):
                assert await alone.read("7", after=after, before=before, limit=limit) == (
                    await here.ledger.read("7", after=after, before=before, limit=limit)
                )
                for newest in (True, False):
                    page, expected = [
                        await ledger.page(
                            "7", after=after, before=before, limit=limit, newest=newest
                        )
                        for ledger in (alone, here.ledger)
                    ]
                    assert page == expected
        # Whether deleted ones are among them is open.
        posts = {(7, "carol"), (2, "bob")}
        assert posts <= {*await alone.posts("7", after=0, up_to=8)} <= posts | {(5, "alice")}
        assert await alone.posts("7", after=2, up_to=6) in ([], [(5, "alice")])


@on_a_loop
async def test_nothing_is_told_from_the_first_gap_on(stores: HistoryPlace) -> None:
    async with stores.history(*USERS) as here:
        await put_all_but(here, 12, 8, 9, 11)
        alone = await here.without_recent()
        for after, limit, expected in (
            (0, 99, [1, 2, 3, 4, 5, 6, 7]),
            (5, 99, [6, 7]),
            (7, 99, []),
            (8, 99, []),
            (9, 99, [10]),
            (0, 3, [1, 2, 3]),
            (5, 3, [6, 7]),
        ):
            events = await alone.read(CHAT, after=after, limit=limit)
            assert [event.seq for event in events] == expected
        for newest, before, limit, expected, has_more in (
            (True, None, 99, [1, 2, 3, 4, 5, 6, 7], False),
            (True, None, 2, [6, 7], True),
            (True, 12, 2, [6, 7], True),
            (True, 7, 2, [5, 6], True),
            (False, None, 2, [1, 2], True),
        ):
            page = await alone.page(CHAT, after=0, before=before, limit=limit, newest=newest)
            assert (seqs(page), page.has_more, page.head) == (expected, has_more, 7)
        page = await alone.page(CHAT, after=7, before=None, limit=9, newest=False)
        assert page == Page([], False, 7)


@on_a_loop
async def test_a_gap_below_the_last_numbers_is_seen(stores: HistoryPlace) -> None:
    async with stores.history(*USERS) as here:
        await put_all_but(here, 13, 3)
        alone = await here.without_recent()
        page = await alone.page(CHAT, after=0, before=None, limit=9, newest=True)
        assert (seqs(page), page.head) == ([1, 2], 2)


@on_a_loop
async def test_a_conversation_of_which_nothing_was_put_is_empty(stores: HistoryPlace) -> None:
    async with stores.history(*USERS) as here:
        await put_all_but(here, 2, 1, 2)
        alone = await here.without_recent()
        assert await alone.read(CHAT, limit=9) == []
        assert await alone.page(CHAT, after=0, before=None, limit=9, newest=True) == (
            Page([], False, 0)
        )
        assert await alone.posts(CHAT, after=0, up_to=9) == []


@pytest.mark.slow
@on_a_quick_loop
async def test_the_last_number_is_found_however_many_there_are(stores: HistoryPlace) -> None:
    async with stores.history(*USERS) as here:
        alone = await here.without_recent()
        head = 0
        for count in (1, 1, 1, 1, 60, 1, LATELY, 1, 1_000):
            await append(here.ledger, *(direct("alice", "bob") for _ in range(count)))
            head += count
            page = await alone.page(CHAT, after=0, before=None, limit=3, newest=True)
            assert (seqs(page)[-1], page.head) == (head, head)
            assert page.has_more is (head > 3)


@on_a_loop
async def test_what_only_the_ledger_knows_is_not_told(stores: HistoryPlace) -> None:
    async with stores.history(*USERS) as here:
        await append(here.ledger, direct("alice", "bob"))
        alone = await here.without_recent()
        said = await here.ledger.page(CHAT, after=0, before=None, limit=1, newest=True)
        posted = said.messages[0].posted
        for asking in (
            alone.tails("bob", [Wanted(CHAT, 1, 0, 0, 9)]),
            alone.heads([CHAT]),
            alone.append([direct("alice", "bob")]),
            alone.append([react(place(direct("alice", "bob"), posted.seq), "bob")]),
        ):
            with pytest.raises(BackendError):
                await asking
