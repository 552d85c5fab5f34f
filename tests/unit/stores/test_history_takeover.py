"""chatd.stores.history_takeover: what a process did not put another one puts."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg
import pytest

from chatd.errors import BackendError
from chatd.stores.ledger import Entry
from chatd.stores.user_store_postgres import PostgresUserStore
from tests.support.builders import add_users, append, direct
from tests.support.database import empty_database
from tests.support.dying import commit_and_die
from tests.support.history import HistoryPlace
from tests.support.running import on_a_loop
from tests.support.writers import Obstacle, Process, process, until_it


class Here(NamedTuple):
    """Two users, of whose conversation nothing is stored."""

    database: str
    store: Obstacle
    alice: str
    bob: str

    def message(self, content: str = "hello") -> Entry:
        return direct(self.alice, self.bob, content)

    async def stored(self) -> list[int]:
        chat = f"{self.alice}-{self.bob}"
        events = await self.store.read(chat, after=0, before=5_000, limit=5_000)
        return [event.seq for event in events]


@asynccontextmanager
async def town(stores: HistoryPlace) -> AsyncIterator[Here]:
    async with empty_database(stores.database) as postgres:
        alice, bob = (f"{name}{uuid.uuid4().hex[:8]}" for name in ("alice", "bob"))
        await add_users(PostgresUserStore(postgres), alice, bob)
        store = Obstacle(await stores.keyspace.store())
        yield Here(stores.database, store, alice, bob)


async def progress(one: Process, writer: str) -> int | None:
    stored: int | None = await one.postgres.fetchval(
        "SELECT stored FROM writer WHERE writer = $1", writer
    )
    return stored


@asynccontextmanager
async def seen(here: Here) -> AsyncIterator[Process]:
    """A process that has given a sign of life, and gives no other."""
    async with process(here.database, here.store) as one:
        await one.rows.record(one.name, 0)
        yield one


async def rounds(one: Process) -> None:
    """So many that whoever is silent in one is silent in the next."""
    await one.takeover.round()
    await one.takeover.round()


@on_a_loop
async def test_what_a_killed_process_had_committed_another_puts(stores: HistoryPlace) -> None:
    async with town(stores) as here, process(here.database, here.store) as one:
        await asyncio.to_thread(commit_and_die, here.database, "deadbeef", here.alice, here.bob, 7)
        await one.takeover.start()

        async def is_over() -> bool:
            return await progress(one, "deadbeef") == 7

        await until_it(is_over)
        assert await here.stored() == [1, 2, 3, 4, 5, 6, 7]
        assert one.metrics.history_taken_over >= 7


@on_a_loop
async def test_only_what_was_not_stored_is_put(stores: HistoryPlace) -> None:
    async with town(stores) as here, process(here.database, here.store) as one:
        async with seen(here) as other:
            await other.writer.start()
            await append(other.ledger, here.message())
            await other.reach(1)
            await other.writer.stop()
            await append(other.ledger, here.message(), here.message())
        here.store.sizes.clear()
        await rounds(one)
        assert here.store.sizes == [2]
        assert await here.stored() == [1, 2, 3]
        assert await progress(one, other.name) == 2
        await rounds(one)
        assert here.store.sizes == [2]


@on_a_loop
async def test_a_process_that_gives_signs_of_life_is_left_alone(stores: HistoryPlace) -> None:
    async with (
        town(stores) as here,
        process(here.database, here.store, silent_seconds=60.0) as one,
        process(here.database, here.store) as other,
    ):
        await append(other.ledger, here.message())
        await rounds(one)
        # From now on its silence counts, also when it never said anything.
        assert await progress(one, other.name) == 0
        assert here.store.attempts == 0


@on_a_loop
async def test_who_is_silent_once_may_only_have_had_no_database(stores: HistoryPlace) -> None:
    async with (
        town(stores) as here,
        process(here.database, here.store) as one,
        seen(here) as other,
    ):
        await append(other.ledger, here.message())
        await one.takeover.round()
        assert here.store.attempts == 0
        await one.takeover.round()
        assert await here.stored() == [1]


@on_a_loop
async def test_while_a_session_is_left_what_commits_late_is_put_too(stores: HistoryPlace) -> None:
    """It is silent for as long as anyone waits, and something of it is still under way."""
    async with (
        town(stores) as here,
        process(here.database, here.store) as one,
        seen(here) as silent,
    ):
        lock = await asyncpg.connect(here.database)
        try:
            await append(silent.ledger, here.message(), here.message())
            transaction = lock.transaction()
            await transaction.start()
            await lock.execute("SELECT 1 FROM head FOR UPDATE")
            late = silent.ledger.append([here.message()])
            await append(silent.ledger, direct(here.alice, here.alice))
            await rounds(one)
            assert await here.stored() == [1, 2]
            assert await progress(one, silent.name) == 0
            await transaction.rollback()
            await late
            here.store.sizes.clear()
            await one.takeover.round()
            assert await here.stored() == [1, 2, 3]
            # Not again what was committed before the lock was taken.
            assert here.store.sizes == [2]
            assert await progress(one, silent.name) == 0
        finally:
            await lock.close()
        await silent.postgres.close()
        await one.takeover.round()
        assert await progress(one, silent.name) == 3


@on_a_loop
async def test_a_process_is_not_over_before_its_time(stores: HistoryPlace) -> None:
    async with (
        town(stores) as here,
        process(here.database, here.store, over_seconds=3600.0) as one,
    ):
        async with seen(here) as other:
            await append(other.ledger, here.message())
        await rounds(one)
        assert await here.stored() == [1]
        assert await progress(one, other.name) == 0


@on_a_loop
async def test_one_process_does_it_at_a_time(stores: HistoryPlace) -> None:
    async with (
        town(stores) as here,
        process(here.database, here.store) as one,
        process(here.database, here.store) as other,
    ):
        async with seen(here) as gone:
            await append(gone.ledger, here.message())
        here.store.open.clear()
        await one.takeover.round()
        putting = asyncio.create_task(one.takeover.round())

        async def is_putting() -> bool:
            return here.store.under_way == 1

        await until_it(is_putting)
        await rounds(other)
        assert here.store.attempts == 1
        here.store.open.set()
        await putting
        assert await here.stored() == [1]


@on_a_loop
async def test_who_dies_while_it_has_the_turn_leaves_it(stores: HistoryPlace) -> None:
    async with (
        town(stores) as here,
        process(here.database, here.store) as one,
        process(here.database, here.store) as other,
    ):
        async with seen(here) as gone:
            await append(gone.ledger, here.message())
        here.store.open.clear()
        await one.takeover.round()
        putting = asyncio.create_task(one.takeover.round())

        async def is_putting() -> bool:
            return here.store.under_way == 1

        await until_it(is_putting)
        putting.cancel()
        await asyncio.wait([putting])
        here.store.open.set()
        await rounds(other)
        assert await here.stored() == [1]


@on_a_loop
async def test_a_large_rest_is_put_page_by_page_and_a_failure_is_made_good(
    stores: HistoryPlace,
) -> None:
    async with town(stores) as here, process(here.database, here.store) as one:
        async with seen(here) as other:
            for _ in range(6):
                await append(other.ledger, *(here.message() for _ in range(200)))
        await one.takeover.round()
        here.store.failures = 1
        with pytest.raises(BackendError):
            await one.takeover.round()
        assert await progress(one, other.name) == 0
        await one.takeover.round()
        await one.takeover.round()
        assert await here.stored() == list(range(1, 1_201))
        assert here.store.sizes == [600, 600]
        assert await progress(one, other.name) == 6


@on_a_loop
async def test_progress_of_a_process_that_is_over_is_kept_page_by_page(
    stores: HistoryPlace,
) -> None:
    async with town(stores) as here, process(here.database, here.store) as one:
        async with seen(here) as other:
            for _ in range(6):
                await append(other.ledger, *(here.message() for _ in range(200)))
        await one.takeover.round()
        here.store.bug_at = 1_150
        with pytest.raises(ValueError, match="bug"):
            await one.takeover.round()
        assert await progress(one, other.name) == 3
