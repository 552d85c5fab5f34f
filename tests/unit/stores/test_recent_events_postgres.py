"""chatd.stores.recent_events_postgres: what an answer lacks. The rest is the contract of the port
Ledger."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest

from chatd.stores.ledger import Wanted
from chatd.stores.recent_events import NO_END, Fate
from tests.support.builders import NOW_MS, append, create, direct, post
from tests.support.changes import delete, edit, place, react
from tests.support.history import History, HistoryPlace
from tests.support.running import on_a_loop, on_a_quick_loop

USERS: Final = ("alice", "bob", "carol")
CHAT: Final = "alice-bob"
HEAD: Final = 9


@asynccontextmanager
async def keeping(stores: HistoryPlace, *kept: int) -> AsyncIterator[History]:
    """A conversation of nine messages, of which these are left."""
    async with stores.history(*USERS) as here:
        await append(here.unput, *(direct("alice", "bob", f"{n}") for n in range(HEAD)))
        await here.keep(CHAT, kept)
        yield here


LACKING: Final = [
    # What is left; then after, before, limit; what the highest and the lowest page lack.
    ((1, 2, 3, 4, 5, 6, 7, 8, 9), (0, NO_END, 99), 0, 0),
    ((4, 5, 6, 7, 8, 9), (0, NO_END, 99), 3, 3),
    ((4, 5, 6, 7, 8, 9), (3, NO_END, 99), 0, 0),
    ((4, 5, 6, 7, 8, 9), (2, NO_END, 99), 3, 3),
    ((4, 5, 6, 7, 8, 9), (0, NO_END, 6), 0, 3),
    ((4, 5, 6, 7, 8, 9), (0, NO_END, 7), 3, 3),
    ((4, 5, 6, 7, 8, 9), (0, 4, 9), 3, 3),
    ((4, 5, 6, 7, 8, 9), (1, 3, 9), 2, 2),
    ((4, 5, 6, 7, 8, 9), (4, 8, 9), 0, 0),
    ((4, 5, 6, 7, 8, 9), (9, NO_END, 9), 0, 0),
    ((4, 5, 6, 7, 8, 9), (5, 6, 9), 0, 0),
    ((), (0, NO_END, 9), 9, 9),
    ((), (4, 7, 9), 6, 6),
    ((), (9, NO_END, 9), 0, 0),
    ((3, 5, 6, 8, 9), (0, NO_END, 99), 7, 7),
    ((3, 5, 6, 8, 9), (0, NO_END, 2), 0, 4),
    ((3, 5, 6, 8, 9), (0, NO_END, 3), 7, 4),
    ((3, 5, 6, 8, 9), (4, 7, 9), 0, 0),
    ((3, 5, 6, 8, 9), (4, 8, 9), 7, 7),
    ((1, 2, 3, 7), (0, NO_END, 99), 9, 9),
    ((1, 2, 3, 7), (0, NO_END, 3), 9, 0),
]


@pytest.mark.parametrize(("kept", "asked", "of_highest", "of_lowest"), LACKING)
@on_a_loop
async def test_an_answer_says_what_it_lacks(
    stores: HistoryPlace,
    kept: tuple[int, ...],
    asked: tuple[int, int, int],
    of_highest: int,
    of_lowest: int,
) -> None:
    async with keeping(stores, *kept) as here:
        after, before, limit = asked
        there = [seq for seq in kept if after < seq < before]
        for newest, expected in ((True, of_highest), (False, of_lowest)):
            page = await here.recent.page(
                CHAT, after=after, before=before, limit=limit, newest=newest
            )
            found = [message.posted.seq for message in page.messages]
            assert found == (there[-limit:] if newest else there[:limit])
            assert (page.head, page.lacks, page.fates) == (HEAD, expected, [])
        posts = await here.recent.posts(CHAT, after=after, up_to=before - 1, limit=limit)
        assert [seq for seq, _ in posts.posts] == there[::-1][:limit]
        assert posts.lacks == of_highest
        events, head = await here.recent.read(CHAT, after=after, before=before, limit=limit)
        assert ([event.seq for event in events], head) == (there[:limit], HEAD)


@pytest.mark.parametrize(
    ("kept", "wanted", "unread_lacks", "last_lacks"),
    [
        ((1, 2, 3, 4, 5, 6, 7, 8, 9), Wanted(CHAT, 9, 0, 0, 99), 0, 0),
        ((5, 6, 7, 8, 9), Wanted(CHAT, 9, 0, 0, 99), 4, 0),
        ((5, 6, 7, 8, 9), Wanted(CHAT, 9, 0, 0, 4), 0, 0),
        ((5, 6, 7, 8, 9), Wanted(CHAT, 9, 0, 0, 5), 4, 0),
        ((5, 6, 7, 8, 9), Wanted(CHAT, 9, 4, 0, 99), 0, 0),
        ((5, 6, 7, 8, 9), Wanted(CHAT, 9, 0, 3, 99), 4, 0),
        ((5, 6, 7, 8, 9), Wanted(CHAT, 4, 0, 3, 99), 4, 4),
        ((5, 6, 7, 8, 9), Wanted(CHAT, 4, 0, 4, 99), 0, 4),
        ((5, 6, 7, 8, 9), Wanted(CHAT, 4, 4, 4, 99), 0, 0),
        ((5, 6, 8), Wanted(CHAT, 9, 0, 0, 99), 9, 9),
        ((5, 6, 8), Wanted(CHAT, 8, 0, 0, 99), 7, 0),
        ((), Wanted(CHAT, 9, 0, 0, 0), 9, 9),
    ],
)
@on_a_loop
async def test_a_tail_says_what_it_lacks(
    stores: HistoryPlace,
    kept: tuple[int, ...],
    wanted: Wanted,
    unread_lacks: int,
    last_lacks: int,
) -> None:
    async with keeping(stores, *kept) as here:
        (tail,) = await here.recent.tails("bob", [wanted])
        floor = max(wanted.floor, wanted.read)
        there = [seq for seq in kept if floor < seq <= wanted.head]
        assert tail.unread == min(len(there), wanted.unread_cap + 1)
        assert (tail.unread_lacks, tail.last_lacks) == (unread_lacks, last_lacks)


@on_a_loop
async def test_fates_are_told_of_messages_of_any_age(stores: HistoryPlace) -> None:
    async with stores.history(*USERS) as here:
        said = [post("7", "bob", f"{n}") for n in range(4)]
        one, two, three, four = (place(entry, n) for n, entry in enumerate(said, 2))
        await append(here.unput, create("7", "alice", ["bob"]), *said)
        await append(
            here.unput,
            edit(one, "bob"),
            edit(two, "bob", "once"),
            edit(two, "bob", "twice"),
            react(two, "alice"),
            react(two, "bob", "🎉"),
            delete(three, "alice"),
        )
        events = await here.recent.read("7", after=0, before=NO_END, limit=99)
        await here.keep("7", range(7, 12))
        expected = [
            Fate(2, 6, None),
            Fate(3, 8, events.events[7], reactions=[("👍", "alice"), ("🎉", "bob")]),
            Fate(is_deleted=True),
            Fate(),
        ]
        seqs = [at.seq for at in (one, two, three, four)]
        assert await here.recent.fates([("7", seq) for seq in seqs]) == expected
        assert await here.recent.fates([]) == []
        page = await here.recent.page(
            "7", after=0, before=NO_END, limit=9, newest=True, fates_of=seqs[::-1]
        )
        assert page.fates == expected[::-1]


@on_a_loop
async def test_deleted_messages_are_told_with_what_deleted_them(stores: HistoryPlace) -> None:
    async with keeping(stores) as here:
        said = [direct("alice", "bob") for _ in range(3)]
        await append(here.unput, *said)
        await append(here.unput, *(delete(place(said[n], n + 10), "alice") for n in (2, 0)))
        recent = here.recent
        assert await recent.deleted(CHAT, after=0, before=99) == {10: 14, 12: 13}
        assert await recent.deleted(CHAT, after=10, before=12) == {}
        assert await recent.deleted(CHAT, after=10, before=12, also=[10, 11]) == {10: 14}


@on_a_loop
async def test_where_events_are(stores: HistoryPlace) -> None:
    async with keeping(stores, 8, 9) as here:
        await append(here.unput, direct("carol", "bob", at_ms=NOW_MS + 7))
        places = [(CHAT, 8), ("bob-carol", 1), (CHAT, 7), (CHAT, 10), ("nowhere", 1), (CHAT, 8)]
        found = await here.recent.whereabouts(places)
        assert found == [NOW_MS, NOW_MS + 7, None, 0, 0, NOW_MS]
        assert await here.recent.whereabouts([]) == []


@pytest.mark.slow
@on_a_quick_loop
async def test_a_read_looks_at_rows_of_its_conversation_alone(stores: HistoryPlace) -> None:
    names = [f"user{n}" for n in range(200)]
    async with stores.history("alice", *names) as here:
        for _ in range(20):
            await append(here.unput, *(direct(name, "alice") for name in names))
        await here.postgres.execute("ANALYZE ledger")
        plan = await here.postgres.fetchval(
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM ledger"
            " WHERE conversation_id = 'alice-user7' AND seq > 0 ORDER BY seq LIMIT 5"
        )
        top = json.loads(plan)[0]["Plan"]
        assert top["Shared Hit Blocks"] + top["Shared Read Blocks"] < 30
