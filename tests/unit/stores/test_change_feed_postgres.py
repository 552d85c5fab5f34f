"""chatd.stores.change_feed_postgres: nothing is left out, whatever commits when."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import asyncpg
import pytest

from chatd.errors import BackendError
from chatd.stores.change_feed import Change, Happened, Parted, Revoked
from chatd.stores.change_feed_postgres import SINCE, PostgresChangeFeed
from chatd.stores.ledger_postgres import PostgresLedger
from chatd.stores.pool_postgres import Postgres
from chatd.stores.user_store_postgres import PostgresUserStore
from protocol.model import Role
from tests.support.builders import NOW_MS, add_users, append, create, direct, join, leave, post
from tests.support.changes import change_role, delete, edit, place, react, update
from tests.support.database import empty_database
from tests.support.running import on_a_loop
from tests.support.services import postgres_database

USERS: Final = ("alice", "bob", "carol")


@pytest.fixture
def database() -> str:
    return postgres_database()


class Here(NamedTuple):
    postgres: Postgres
    users: PostgresUserStore
    ledger: PostgresLedger
    feed: PostgresChangeFeed

    async def told(self, mark: int | None) -> tuple[int, set[Change]]:
        """The next mark, and what was told."""
        mark, changes = await self.feed.since(mark)
        return mark, set(changes)


@asynccontextmanager
async def town(database: str) -> AsyncIterator[Here]:
    async with empty_database(database) as postgres:
        users = PostgresUserStore(postgres)
        await add_users(users, *USERS)
        yield Here(postgres, users, PostgresLedger(postgres, "test"), PostgresChangeFeed(postgres))


@on_a_loop
async def test_who_begins_hears_nothing_of_before(database: str) -> None:
    async with town(database) as here:
        await append(here.ledger, create("7", "alice"))
        mark, changes = await here.told(None)
        assert changes == set()
        # The mark may go on: transactions are counted for all databases of the server.
        assert (await here.told(mark))[1] == set()


@on_a_loop
async def test_it_tells_who_is_in_a_conversation_and_what_was_deleted(database: str) -> None:
    async with town(database) as here:
        mark, _ = await here.told(None)
        said = post("7", "bob")
        await append(
            here.ledger,
            create("7", "alice", ["bob"], is_open=True),
            said,
            join("7", "carol"),
            leave("7", "carol"),
            edit(place(said, 2), "bob"),
            react(place(said, 2), "alice"),
            delete(place(said, 2), "bob"),
            change_role("7", "alice", "bob", Role.ADMIN),
            update("7", "alice", name="renamed"),
            direct("alice", "bob"),
            direct("bob", "alice"),
        )
        mark, changes = await here.told(mark)
        assert changes == {
            Happened("7", 1),
            Happened("7", 3),
            Happened("7", 4),
            Happened("7", 7),
            Happened("alice-bob", 1),
        }
        assert (await here.told(mark))[1] == set()


@on_a_loop
async def test_it_tells_of_tokens_that_ended(database: str) -> None:
    async with town(database) as here:
        mark, _ = await here.told(None)
        await here.users.revoke_device("alice", "phone", NOW_MS)
        await here.users.revoke_all("bob", NOW_MS)
        await here.users.change_password("carol", "hash", "laptop", NOW_MS)
        _, changes = await here.told(mark)
        assert changes == {
            Revoked("alice", "phone", None),
            Revoked("bob", None, None),
            Revoked("carol", None, "laptop"),
        }


@on_a_loop
async def test_a_device_is_its_users_to_revoke(database: str) -> None:
    async with town(database) as here:
        await here.users.revoke_device("alice", "phone", NOW_MS)
        mark, _ = await here.told(None)
        await here.users.revoke_device("bob", "phone", NOW_MS)
        assert (await here.told(mark))[1] == set()


@on_a_loop
async def test_it_tells_of_blocks(database: str) -> None:
    async with town(database) as here:
        mark, _ = await here.told(None)
        assert await here.users.block("alice", "bob", NOW_MS)
        mark, changes = await here.told(mark)
        assert changes == {Parted("alice", "bob")}
        assert not await here.users.block("alice", "bob", NOW_MS)
        assert (await here.told(mark))[1] == set()


@on_a_loop
async def test_what_is_undone_is_not_told(database: str) -> None:
    async with town(database) as here:
        mark, _ = await here.told(None)
        other = await asyncpg.connect(database)
        try:
            transaction = other.transaction()
            await transaction.start()
            await other.execute("INSERT INTO notice (kind, username) VALUES ('revoked', 'bob')")
            await transaction.rollback()
        finally:
            await other.close()
        assert (await here.told(mark))[1] == set()


@on_a_loop
async def test_what_commits_late_is_not_left_out(database: str) -> None:
    """A transaction is open while others commit and the feed is read."""
    async with town(database) as here:
        mark, _ = await here.told(None)
        late = await asyncpg.connect(database)
        later = await asyncpg.connect(database)
        try:
            for one, name in ((late, "late"), (later, "later")):
                await one.execute("BEGIN")
                await one.execute(
                    "INSERT INTO notice (kind, username) VALUES ('revoked', $1)", name
                )
            await append(here.ledger, create("7", "alice"))
            mark, changes = await here.told(mark)
            assert changes == {Happened("7", 1)}
            await append(here.ledger, create("8", "alice"))
            await later.execute("COMMIT")
            mark, changes = await here.told(mark)
            assert changes >= {Happened("8", 1), Revoked("later", None, None)}
            mark, changes = await here.told(mark)
            assert Revoked("late", None, None) not in changes
            await late.execute("COMMIT")
            mark, changes = await here.told(mark)
            assert Revoked("late", None, None) in changes
            assert (await here.told(mark))[1] == set()
        finally:
            await late.close()
            await later.close()


@on_a_loop
async def test_with_the_same_mark_the_same_is_told(database: str) -> None:
    async with town(database) as here:
        mark, _ = await here.told(None)
        await append(here.ledger, create("7", "alice"))
        assert await here.told(mark) == await here.told(mark)
        assert (await here.told(mark))[1] == {Happened("7", 1)}


@on_a_loop
async def test_a_database_that_is_gone_is_an_error(database: str) -> None:
    async with town(database):
        lost = await Postgres.connect(database)
        await lost.close()
        for mark in (None, 1):
            with pytest.raises(BackendError):
                await PostgresChangeFeed(lost).since(mark)


@on_a_loop
async def test_reading_it_touches_only_what_is_new(database: str) -> None:
    async with town(database) as here:
        for n in range(20):
            await append(here.ledger, create(f"{n}", "alice"), *(post(f"{n}", "alice"),) * 50)
        await here.postgres.execute("ANALYZE ledger")
        mark, _ = await here.told(None)
        rows = await here.postgres.fetch(f"EXPLAIN (ANALYZE, COSTS OFF) {SINCE}", str(mark))
        plan = "\n".join(row[0] for row in rows)
        assert "Seq Scan on ledger" not in plan
        assert "Rows Removed" not in plan
        scans = [row[0] for row in rows if "Index" in row[0] and "ledger" in row[0]]
        assert scans and all("actual" not in scan or "rows=0" in scan for scan in scans), plan
