"""The list of conversations, read while it changes."""

import random
from collections.abc import Callable

import pytest

from testclients.conversation_list import ROUNDS, every_conversation
from testclients.http import ConversationPage, ListedConversation
from tests.support.running import on_a_loop

PAGE = 4


class Shelf:
    """A list of conversations as the server keeps it; `between` is called after every page."""

    def __init__(self, count: int, between: Callable[[int], None] = lambda _: None) -> None:
        self.between = between
        self.asked = 0
        self._now = count
        self._at = {f"c{number}": number for number in range(count)}
        self._heads = dict.fromkeys(self._at, 1)

    @property
    def ids(self) -> list[str]:
        """Newest first."""
        return sorted(self._at, key=lambda id: -self._at[id])

    def say(self, id: str) -> None:
        """A new event in a conversation."""
        self._now += 1
        self._at[id] = self._now
        self._heads[id] = self._heads.get(id, 0) + 1

    def leave(self, id: str) -> None:
        del self._at[id], self._heads[id]

    async def ask(self, cursor: str | None) -> ConversationPage:
        below = self._now + 1 if cursor is None else int(cursor)
        ids = [id for id in self.ids if self._at[id] < below]
        page = ConversationPage(
            [ListedConversation(id, "group", self._heads[id], 0) for id in ids[:PAGE]],
            str(self._at[ids[PAGE - 1]]) if len(ids) > PAGE else None,
        )
        self.asked += 1
        self.between(self.asked)
        return page


async def found(shelf: Shelf) -> list[str]:
    return [listed.id for listed in await every_conversation(shelf.ask)]


@pytest.mark.parametrize(
    ("count", "pages"), [(0, 1), (1, 1), (PAGE, 1), (PAGE + 1, 3), (3 * PAGE, 4), (50, 14)]
)
@on_a_loop
async def test_every_page_is_read_and_the_first_one_again(count: int, pages: int) -> None:
    shelf = Shelf(count)
    assert await found(shelf) == shelf.ids
    assert shelf.asked == pages


@pytest.mark.parametrize("after_page", [1, 2, 3])
@on_a_loop
async def test_one_that_moves_to_the_front_is_found_there(after_page: int) -> None:
    shelf = Shelf(16, lambda asked: shelf.say("c0") if asked == after_page else None)
    assert set(await found(shelf)) == set(shelf.ids)
    assert shelf.asked == 4 + 1


@on_a_loop
async def test_many_that_have_moved_are_looked_for_beyond_the_first_page() -> None:
    def move(asked: int) -> None:
        if asked == 1:
            # The oldest one comes to stand below nine others that have moved too.
            for id in ["c0", *(f"c{number}" for number in range(6, 15))]:
                shelf.say(id)

    shelf = Shelf(16, move)
    assert set(await found(shelf)) == set(shelf.ids)


@on_a_loop
async def test_when_all_of_the_first_page_has_moved_everything_is_read_again() -> None:
    def move(asked: int) -> None:
        if asked == 1:
            for id in ["c0", *shelf.ids[:PAGE]]:
                shelf.say(id)
        if asked == 5:  # the second round has read one page, and it escapes again
            shelf.say("c0")

    shelf = Shelf(16, move)
    assert set(await found(shelf)) == set(shelf.ids)


@on_a_loop
async def test_a_list_that_never_stands_still_is_read_some_times() -> None:
    def move(_: int) -> None:
        for id in shelf.ids[::-1]:
            shelf.say(id)

    shelf = Shelf(16, move)
    await found(shelf)
    assert shelf.asked <= ROUNDS * 4


@on_a_loop
async def test_what_was_left_meanwhile_ends_nothing() -> None:
    def leave(asked: int) -> None:
        if asked == 2:
            for id in shelf.ids[: PAGE + 1]:
                shelf.leave(id)

    shelf = Shelf(16, leave)
    everything = set(shelf.ids)
    assert set(await found(shelf)) == everything


@pytest.mark.parametrize("seed", range(40))
@on_a_loop
async def test_whatever_moves_whoever_was_there_is_found(seed: int) -> None:
    chance = random.Random(seed)

    def move(_: int) -> None:
        # Few enough that not all of it is new whenever it is looked at.
        for id in chance.choices(there, k=chance.randrange(3)):
            shelf.say(id)
        if chance.random() < 0.3:
            shelf.say(f"new {shelf.asked}")

    shelf = Shelf(chance.randrange(1, 60), move)
    there = shelf.ids
    names = await found(shelf)
    assert set(there) <= set(names)
    assert len(names) == len(set(names))
