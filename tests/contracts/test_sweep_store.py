"""Port SweepStore, which has one adapter: embedded, nothing is lost that a process outlives."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import pytest

from chatd.stores.conversation_store import ConversationStore, Cursor, Move
from chatd.stores.conversation_store_postgres import PostgresConversationStore
from chatd.stores.ledger import Ledger
from chatd.stores.ledger_postgres import PostgresLedger
from chatd.stores.migrate_postgres import migrate
from chatd.stores.pool_postgres import Postgres
from chatd.stores.sweep_store import Lacking
from chatd.stores.sweep_store_postgres import PostgresSweepStore
from chatd.stores.user_store_postgres import PostgresUserStore
from tests.support.builders import NOW_MS, add_users, append, create, direct, post
from tests.support.running import on_a_loop
from tests.support.services import postgres_database

CHAT = "alice-bob"
_TABLES: Final = "account, conversation, member, mailbox, head, ledger, meta"
EVER = (0, 2 * NOW_MS)


class Desk(NamedTuple):
    sweep: PostgresSweepStore
    store: ConversationStore
    ledger: Ledger
    postgres: Postgres

    async def lacking(self, since_ms: int = 0, until_ms: int = 2 * NOW_MS) -> list[Lacking]:
        page = await self.sweep.lacking(since_ms, until_ms, after="", limit=1_000)
        assert page.after is None
        return list(page.found)


@pytest.fixture
def url() -> str:
    return postgres_database()


@asynccontextmanager
async def desk(url: str) -> AsyncIterator[Desk]:
    """Users, and nothing else in the database."""
    postgres = await Postgres.connect(url)
    try:
        await migrate(postgres)
        await postgres.execute(f"TRUNCATE {_TABLES}")
        await add_users(PostgresUserStore(postgres), "alice", "bob", "carol", "dave")
        yield Desk(
            PostgresSweepStore(postgres),
            PostgresConversationStore(postgres),
            PostgresLedger(postgres, "test"),
            postgres,
        )
    finally:
        await postgres.close()


@on_a_loop
async def test_what_no_mailbox_tells_is_found(url: str) -> None:
    async with desk(url) as here:
        assert await here.lacking() == []
        await append(here.ledger, *(direct("alice", "bob") for _ in range(3)))
        await here.store.advance([Move(CHAT, "alice", Cursor.DELIVERED, 3)])
        await here.store.advance([Move(CHAT, "bob", Cursor.DELIVERED, 1)])
        assert await here.lacking() == [Lacking(CHAT, 2, 3)]
        await here.store.add_to_mailboxes(CHAT, ["bob"], 2, 2)
        assert await here.lacking() == [Lacking(CHAT, 2, 3)]
        await here.store.add_to_mailboxes(CHAT, ["bob"], 2, 3)
        assert await here.lacking() == []
        await append(here.ledger, direct("bob", "alice"))
        assert await here.lacking() == [Lacking(CHAT, 2, 4)]
        await here.store.advance(
            [Move(CHAT, name, Cursor.DELIVERED, 4) for name in ("alice", "bob")]
        )
        assert await here.lacking() == []


@on_a_loop
async def test_a_range_covers_all_who_lack_something(url: str) -> None:
    async with desk(url) as here:
        everyone = ["bob", "carol", "dave"]
        await append(here.ledger, create("7", "alice", everyone), post("7", "alice"))
        await append(here.ledger, post("7", "alice"), create("8", "bob"))
        for name, seq in (("alice", 3), ("bob", 2), ("carol", 1)):
            await here.store.advance([Move("7", name, Cursor.DELIVERED, seq)])
        # Dave has got nothing, and its mailbox says so.
        await here.store.add_to_mailboxes("7", ["dave"], 1, 3)
        assert await here.lacking() == [Lacking("7", 2, 3)]


@on_a_loop
async def test_only_the_time_that_is_asked_for_is_looked_at(url: str) -> None:
    async with desk(url) as here:
        await append(
            here.ledger,
            direct("alice", "bob", at_ms=NOW_MS),
            direct("alice", "carol", at_ms=NOW_MS + 10),
            direct("alice", "dave", at_ms=NOW_MS + 20),
        )

        async def found(since_ms: int, until_ms: int) -> list[str]:
            lacking = await here.lacking(NOW_MS + since_ms, NOW_MS + until_ms)
            return [one.conversation_id.partition("-")[2] for one in lacking]

        assert await found(0, 21) == ["bob", "carol", "dave"]
        assert await found(1, 20) == ["carol"]
        assert await found(10, 10) == []
        assert await found(20, 99) == ["dave"]


@on_a_loop
async def test_it_is_read_in_pages(url: str) -> None:
    async with desk(url) as here:
        groups = [f"{n:03}" for n in range(7)]
        await append(here.ledger, *(create(group, "alice", ["bob"]) for group in groups))
        await here.store.add_to_mailboxes("002", ["bob"], 1, 1)
        for limit in (1, 3, 7, 8):
            found: list[str] = []
            after: str | None = ""
            while after is not None:
                page = await here.sweep.lacking(*EVER, after=after, limit=limit)
                found += [one.conversation_id for one in page.found]
                after = page.after
            assert found == [group for group in groups if group != "002"]


@on_a_loop
async def test_how_far_it_has_come_is_kept(url: str) -> None:
    async with desk(url) as here:
        assert await here.sweep.swept_until() == 0
        for at_ms in (NOW_MS, NOW_MS - 5):
            await here.sweep.set_swept_until(at_ms)
            assert await here.sweep.swept_until() == at_ms
