"""chatd.stores.authors: changes of messages that only the message store has any more."""

from collections.abc import Iterator
from typing import Final

import pytest
from loguru import logger

from chatd.clock import HandClock
from chatd.errors import BackendError
from chatd.stores import authors
from chatd.stores.authors import LOOK_UP_SECONDS, RECENT_MS, Authors
from chatd.stores.ledger import Entry
from protocol.errors import ErrorCode
from tests.support.builders import NOW_MS, append, create, direct, join, post
from tests.support.changes import add, codes, delete, edit, place, react, seqs
from tests.support.history import HistoryPlace
from tests.support.running import on_a_loop

USERS: Final = ("alice", "bob", "carol")
CHAT: Final = "alice-bob"


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """The lines of the log from WARNING on."""
    lines: list[str] = []
    handler = logger.add(lines.append, level="WARNING", format="{message}")
    yield lines
    logger.remove(handler)


def named(*entries: Entry) -> list[str | None]:
    return [entry.author for entry in entries]


@on_a_loop
async def test_changes_of_older_messages_keep_their_place(stores: HistoryPlace) -> None:
    async with stores.history(*USERS) as here:
        old, other = post("7", "bob", "old"), post("7", "carol", "old too")
        await append(here.ledger, create("7", "alice", ["bob"]), old)
        await append(here.ledger, add("7", "alice", "carol"), other)
        await here.keep("7", [])
        new = post("7", "bob", "new")
        outcomes = await here.ledger.append(
            [
                edit(place(old, 2), "bob", "one"),
                new,
                edit(place(old, 2), "alice", "two"),
                react(place(new, 6), "carol"),
                delete(place(other, 4), "bob"),
                react(place(other, 4), "bob"),
                delete(place(other, 4), "alice"),
                post("7", "bob"),
            ]
        )
        assert codes(outcomes) == [None] * 4 + [ErrorCode.FORBIDDEN] + [None] * 3
        assert [seq for seq in seqs(outcomes) if seq] == [5, 6, 7, 8, 9, 10, 11]
        await here.keep("7", [])
        page = await here.ledger.page("7", after=0, before=5, limit=9, newest=True)
        assert [message.version for message in page.messages] == [3, 1]
        assert [message.is_deleted for message in page.messages] == [False, True]


@on_a_loop
async def test_an_id_must_be_that_of_the_message(stores: HistoryPlace) -> None:
    async with stores.history(*USERS) as here:
        old = post("7", "bob", "old")
        await append(
            here.ledger, create("7", "alice", ["bob"], is_open=True), old, join("7", "carol")
        )
        await here.keep("7", [])
        at = place(old, 2)
        outcomes = await here.ledger.append(
            [
                edit(at._replace(nonce=at.nonce ^ 1), "bob"),
                react(at._replace(seq=1), "bob"),
                delete(at._replace(seq=3), "alice"),
                delete(at._replace(seq=4), "alice"),
                react(at, "carol"),
            ]
        )
        assert codes(outcomes) == [ErrorCode.NO_SUCH_MESSAGE] * 5
        assert await here.ledger.heads(["7"]) == {"7": 3}


@on_a_loop
async def test_without_the_message_store_only_older_messages_stay_as_they_are(
    stores: HistoryPlace, warnings: list[str]
) -> None:
    async with stores.history(*USERS) as here:
        old, recent = direct("alice", "bob", "old"), direct("bob", "alice", "recent")
        await append(here.ledger, old, recent)
        await here.keep(CHAT, [2])
        ledger = await here.without_store()
        new = direct("alice", "bob", "new")
        outcomes = await ledger.append(
            [
                react(place(recent, 2), "alice"),
                edit(place(old, 1), "alice"),
                new,
                react(place(new, 4), "bob"),
                react(place(old, 1), "bob"),
                edit(place(recent, 2), "bob"),
                react(place(new, 99), "bob"),
            ]
        )
        away, unknown = ErrorCode.UNAVAILABLE, ErrorCode.NO_SUCH_MESSAGE
        assert codes(outcomes) == [None, away, None, None, away, None, unknown]
        assert [seq for seq in seqs(outcomes) if seq] == [3, 4, 5, 6]
        assert len(warnings) == 1
        outcomes = await ledger.append([edit(place(old, 1), "alice")])
        assert codes(outcomes) == [away]


@on_a_loop
async def test_after_a_failure_none_is_looked_up_for_a_while(
    stores: HistoryPlace, warnings: list[str]
) -> None:
    async with stores.history(*USERS) as here:
        old = direct("alice", "bob", "old")
        await append(here.ledger, old)
        await here.keep(CHAT, [])
        clock = HandClock(NOW_MS)
        looking = Authors(here.recent, await stores.keyspace.lost_store(), clock)
        for seconds, expected in ((0, 1), (0, 1), (LOOK_UP_SECONDS / 2, 1), (LOOK_UP_SECONDS, 2)):
            clock.advance(seconds)
            entry = edit(place(old, 1), "alice")
            assert await looking.fill_in([entry, direct("bob", "alice")]) == [entry]
            assert len(warnings) == expected


@on_a_loop
async def test_who_waits_is_not_kept_by_a_store_that_says_nothing(
    stores: HistoryPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stores.history(*USERS) as here, stores.keyspace.proxied_store() as (store, proxy):
        old = direct("alice", "bob", "old")
        await append(here.ledger, old)
        await here.keep(CHAT, [])
        looking = Authors(here.recent, store, HandClock(NOW_MS))
        for stalls in (False, True):
            if stalls:
                proxy.stall()
                monkeypatch.setattr(authors, "LOOK_UP_SECONDS", 0.05)
            entry = edit(place(old, 1), "alice")
            assert await looking.fill_in([entry]) == ([entry] if stalls else [])
            assert named(entry) == [None if stalls else "alice"]


@on_a_loop
async def test_what_is_known_to_be_recent_is_not_asked_for(
    stores: HistoryPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authors, "CONVERSATIONS", 2)
    async with stores.history(*USERS) as here:
        said = [direct("alice", "bob", f"{n}") for n in range(4)]
        others = [direct("carol", "bob"), direct("alice", "carol")]
        await append(here.ledger, *said, *others)
        clock = HandClock(NOW_MS)
        looking = Authors(here.recent, here.store, clock)
        first = edit(place(said[1], 2), "alice")
        assert await looking.fill_in([first]) == []
        assert named(first) == [None], "the ledger knows it"
        await here.postgres.close()
        above = [edit(place(said[n], n + 1), "alice") for n in (1, 2, 3)]
        assert await looking.fill_in(above) == []
        for asked in (edit(place(said[0], 1), "alice"), react(place(others[0], 1), "bob")):
            with pytest.raises(BackendError):
                await looking.fill_in([asked])
        clock.advance(RECENT_MS / 1000)
        with pytest.raises(BackendError):
            await looking.fill_in(above)


@on_a_loop
async def test_only_so_many_conversations_are_known(
    stores: HistoryPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authors, "CONVERSATIONS", 2)
    async with stores.history(*USERS) as here:
        said = [direct("alice", "bob"), direct("alice", "carol"), direct("bob", "carol")]
        await append(here.ledger, *said)
        looking = Authors(here.recent, here.store, HandClock(NOW_MS))
        for entry in said:
            assert await looking.fill_in([react(place(entry, 1), entry.sender)]) == []
        await here.postgres.close()
        for entry in said[1:]:
            assert await looking.fill_in([react(place(entry, 1), entry.sender)]) == []
        with pytest.raises(BackendError):
            await looking.fill_in([react(place(said[0], 1), "alice")])


@on_a_loop
async def test_an_old_event_that_is_still_there_makes_nothing_known(
    stores: HistoryPlace,
) -> None:
    async with stores.history(*USERS) as here:
        said = direct("alice", "bob")
        await append(here.ledger, said)
        looking = Authors(here.recent, here.store, HandClock(NOW_MS + RECENT_MS))
        assert await looking.fill_in([react(place(said, 1), "bob")]) == []
        await here.keep(CHAT, [])
        asked = react(place(said, 1), "bob")
        assert await looking.fill_in([asked]) == []
        assert named(asked) == ["alice"]
