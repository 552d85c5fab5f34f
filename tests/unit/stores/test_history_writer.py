"""chatd.stores.history_writer: what PostgreSQL committed gets into Cassandra, whatever fails
meanwhile."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import asyncpg
import pytest

from chatd.errors import BackendError
from chatd.stores.ledger import Entry
from chatd.stores.message_store import MessageStore
from chatd.stores.user_store_postgres import PostgresUserStore
from tests.support.builders import add_users, append, create, direct, join, post
from tests.support.changes import delete, edit, place, react
from tests.support.database import empty_database
from tests.support.history import HistoryPlace
from tests.support.proxy import Proxy
from tests.support.running import on_a_loop, on_a_quick_loop, until
from tests.support.writers import Obstacle, Process, process, until_it

ABOVE_ALL: Final = 1_000


class Here(NamedTuple):
    """A database of which nothing is stored, and users with a conversation of their own."""

    database: str
    store: Obstacle
    alice: str
    bob: str

    @property
    def chat(self) -> str:
        return f"{self.alice}-{self.bob}"

    def message(self, content: str = "hello") -> Entry:
        return direct(self.alice, self.bob, content)

    async def stored(self) -> list[int]:
        """The numbers of the conversation that the message store has."""
        events = await self.store.read(self.chat, after=0, before=ABOVE_ALL, limit=10_000)
        return [event.seq for event in events]


@asynccontextmanager
async def town(stores: HistoryPlace) -> AsyncIterator[Here]:
    async with empty_database(stores.database) as postgres:
        alice, bob = (f"{name}{uuid.uuid4().hex[:8]}" for name in ("alice", "bob"))
        await add_users(PostgresUserStore(postgres), alice, bob, "carol")
        store = Obstacle(await stores.keyspace.store())
        yield Here(stores.database, store, alice, bob)


async def same(one: Process, store: MessageStore, conversation_id: str) -> None:
    """The message store has what the ledger has."""
    events = await one.ledger.read(conversation_id, limit=10_000)
    assert await store.read(conversation_id, after=0, before=ABOVE_ALL, limit=10_000) == events
    page = await one.ledger.page(conversation_id, after=0, before=None, limit=10_000, newest=False)
    found = await store.messages(
        conversation_id, after=0, before=ABOVE_ALL, limit=10_000, newest=False
    )
    assert found == page.messages


@on_a_loop
async def test_everything_that_was_committed_is_put(stores: HistoryPlace) -> None:
    async with town(stores) as here, process(here.database, here.store) as one:
        await one.writer.start()
        group, alice, bob = uuid.uuid4().hex, here.alice, here.bob
        first, second, third = (post(group, alice, text) for text in ("one", "two", "three"))
        await append(one.ledger, create(group, alice, [bob], is_open=True), first, second, third)
        await append(one.ledger, join(group, "carol"), edit(place(first, 2), alice, "once"))
        await append(one.ledger, react(place(second, 3), bob, "🎉"), react(place(second, 3), alice))
        await append(one.ledger, react(place(second, 3), bob, "🎉", remove=True))
        await append(one.ledger, edit(place(third, 4), alice, "secret"))
        await append(one.ledger, delete(place(third, 4), alice))
        await append(one.ledger, *(here.message(str(n)) for n in range(50)))
        await one.reach(7)
        await same(one, here.store, group)
        await same(one, here.store, here.chat)
        assert one.metrics.history_events == 61
        assert (one.metrics.history_waiting, one.metrics.history_unstored) == (0, 0)


@on_a_loop
async def test_what_is_read_back_from_the_ledger_is_what_was_committed(
    stores: HistoryPlace,
) -> None:
    async with (
        town(stores) as here,
        process(here.database, here.store, events_in_memory=0) as one,
    ):
        group, alice, bob = uuid.uuid4().hex, here.alice, here.bob
        first, second = post(group, alice, "one"), post(group, bob, "two")
        await append(one.ledger, create(group, alice, [bob]), first, second)
        await append(one.ledger, react(place(first, 2), bob), react(place(first, 2), bob, "🎉"))
        await append(one.ledger, react(place(first, 2), bob, remove=True))
        await append(one.ledger, edit(place(first, 2), alice), delete(place(second, 3), bob))
        assert one.batches.waiting == 0
        await one.writer.start()
        # There is no room in memory, but for one page at a time.
        await one.reach(4)
        await same(one, here.store, group)


@on_a_loop
async def test_repeats_and_refusals_are_not_put(stores: HistoryPlace) -> None:
    async with town(stores) as here, process(here.database, here.store) as one:
        await one.writer.start()
        once = direct(here.alice, here.bob, "once", key="k")
        await append(one.ledger, once)
        await append(one.ledger, direct(here.alice, here.bob, "once", key="k"))
        (refused,) = await one.ledger.append([post(uuid.uuid4().hex, here.alice)])
        assert refused.code is not None
        await one.reach(3)
        assert here.store.sizes == [1]


@on_a_loop
async def test_appending_does_not_wait_for_the_store(stores: HistoryPlace) -> None:
    async with town(stores) as here, process(here.database, here.store) as one:
        await one.writer.start()
        here.store.open.clear()
        await append(one.ledger, here.message())
        await until(lambda: here.store.under_way == 1)
        await append(one.ledger, here.message())
        assert (one.metrics.history_waiting, await here.stored()) == (2, [])
        here.store.open.set()
        await one.reach(2)
        assert await here.stored() == [1, 2]


@on_a_loop
async def test_few_puts_are_under_way_and_what_waits_goes_together(stores: HistoryPlace) -> None:
    async with (
        town(stores) as here,
        process(here.database, here.store, puts_at_once=3, events_a_put=10) as one,
    ):
        await one.writer.start()
        here.store.open.clear()
        for n in range(3):
            await append(one.ledger, here.message())
            await until(lambda n=n: here.store.under_way == n + 1)  # type: ignore[misc]
        for _ in range(25):
            await append(one.ledger, here.message())
        assert here.store.under_way == 3
        here.store.open.set()
        await one.reach(28)
        assert sorted(here.store.sizes) == [1, 1, 1, 5, 10, 10]
        assert here.store.most_under_way == 3
        assert await here.stored() == list(range(1, 29))


@on_a_loop
async def test_events_wait_for_others_to_go_with(stores: HistoryPlace) -> None:
    async with (
        town(stores) as here,
        process(here.database, here.store, gather_seconds=60.0, events_a_put=5) as one,
    ):
        await one.writer.start()
        for _ in range(4):
            await append(one.ledger, here.message())
        assert here.store.attempts == 0
        await append(one.ledger, here.message())
        await until(lambda: here.store.sizes == [5])


@on_a_loop
async def test_a_put_that_fails_is_repeated_until_it_does_not(
    stores: HistoryPlace, error_lines: list[str]
) -> None:
    async with town(stores) as here, process(here.database, here.store) as one:
        here.store.failures = 7
        await one.writer.start()
        await append(one.ledger, *(here.message() for _ in range(9)))
        await until(lambda: one.metrics.history_put_failures >= 1)
        assert await one.progress() in (None, 0)
        await one.reach(1)
        assert one.metrics.history_put_failures == 7
        assert await here.stored() == list(range(1, 10))
        assert len(error_lines) == 1 and "does not take events" in error_lines[0]


@on_a_loop
async def test_an_event_that_the_store_cannot_digest_keeps_no_other(
    stores: HistoryPlace, error_lines: list[str]
) -> None:
    async with town(stores) as here, process(here.database, here.store) as one:
        here.store.bug_at = 4
        await one.writer.start()
        await append(one.ledger, *(here.message() for _ in range(9)))

        async def have_come() -> bool:
            return await here.stored() == [1, 2, 3, 5, 6, 7, 8, 9]

        await until_it(have_come)
        assert await one.progress() in (None, 0)
        here.store.bug_at = None
        await one.reach(1)
        assert await here.stored() == list(range(1, 10))
        assert error_lines


# Progress.


@on_a_loop
async def test_progress_counts_no_batch_above_one_that_is_not_stored(stores: HistoryPlace) -> None:
    async with town(stores) as here, process(here.database, here.store) as one:
        here.store.open.clear()
        await one.writer.start()
        await append(one.ledger, here.message())
        await until(lambda: here.store.under_way == 1)
        first, here.store.open = here.store.open, asyncio.Event()
        here.store.open.set()
        await append(one.ledger, here.message())
        await until(lambda: here.store.sizes == [1])
        assert one.batches.stored == 0
        first.set()
        await one.reach(2)


@on_a_loop
async def test_a_process_with_nothing_to_do_gives_a_sign_of_life(stores: HistoryPlace) -> None:
    async with (
        town(stores) as here,
        process(here.database, here.store, sign_seconds=0.05) as one,
    ):
        await one.writer.start()
        seen: set[object] = set()
        while len(seen) < 3:
            seen.add(
                await one.postgres.fetchval(
                    "SELECT seen_at FROM writer WHERE writer = $1", one.name
                )
            )


@on_a_loop
async def test_progress_is_recorded_when_the_database_is_back(stores: HistoryPlace) -> None:
    async with town(stores) as here:
        with Proxy.before(here.database) as proxy:
            async with process(proxy.url, here.store) as one:
                await one.writer.start()
                await one.reach(0)
                await append(one.ledger, here.message())
                proxy.cut()
                await until(lambda: one.batches.stored == 1)
                proxy.heal()
                while True:
                    try:
                        await one.reach(1)
                    except BackendError:
                        # A connection of before.
                        continue
                    break


# Bounds.


@on_a_quick_loop
async def test_memory_is_bounded_and_the_rest_is_read_from_the_ledger(
    stores: HistoryPlace,
) -> None:
    async with (
        town(stores) as here,
        process(here.database, here.store, events_in_memory=40, events_a_put=10) as one,
    ):
        await one.writer.start()
        here.store.open.clear()
        for _ in range(60):
            await append(one.ledger, *(here.message() for _ in range(5)))
            assert one.metrics.history_waiting <= 40
        assert one.metrics.history_unstored == 300
        here.store.open.set()
        for _ in range(20):
            await append(one.ledger, *(here.message() for _ in range(5)))
            # A page that was read comes on top, with the whole of its last call.
            assert one.metrics.history_waiting <= 40 + 15
        await one.reach(80)
        assert await here.stored() == list(range(1, 401))
        assert one.metrics.history_unstored == 0
        assert one.metrics.history_events == 400


@on_a_loop
async def test_beyond_the_bound_nothing_is_appended_until_the_store_is_back(
    stores: HistoryPlace,
) -> None:
    async with (
        town(stores) as here,
        process(here.database, here.store, events_in_memory=4, events_unstored=9) as one,
    ):
        await one.writer.start()
        here.store.open.clear()
        for _ in range(3):
            await append(one.ledger, *(here.message() for _ in range(3)))
        with pytest.raises(BackendError):
            await one.ledger.append([here.message()])
        assert await one.ledger.heads([here.chat]) == {here.chat: 9}
        here.store.open.set()
        await one.reach(3)
        await append(one.ledger, here.message())


# Calls whose outcome is unknown.


@asynccontextmanager
async def locked(here: Here) -> AsyncIterator[asyncpg.Connection]:
    """While it lasts, what is appended to the conversation waits inside PostgreSQL."""
    connection = await asyncpg.connect(here.database)
    try:
        async with connection.transaction():
            await connection.execute(
                "SELECT 1 FROM head WHERE conversation_id = $1 FOR UPDATE", here.chat
            )
            yield connection
    finally:
        await connection.close()


async def lose(one: Process, proxy: Proxy, lock: asyncpg.Connection, here: Here) -> int:
    """Append something whose answer does not arrive; the session that carries it on."""
    call = one.ledger.append([here.message("lost")])
    session = await waiting_session(lock)
    proxy.reset()
    with pytest.raises(BackendError):
        await call
    return session


async def waiting_session(lock: asyncpg.Connection) -> int:
    """The session that waits for the lock, as soon as there is one."""
    found: list[int] = []

    async def is_there() -> bool:
        rows = await lock.fetch(
            "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
        )
        found.extend(row[0] for row in rows)
        return bool(found)

    await until_it(is_there)
    return found[0]


async def seen_again(lock: asyncpg.Connection, one: Process, count: int = 3) -> None:
    """Wait for some signs of life, each of which is a look at the gaps too."""
    seen: set[object] = set()
    while len(seen) < count:
        seen.add(await lock.fetchval("SELECT seen_at FROM writer WHERE writer = $1", one.name))


@on_a_loop
async def test_a_lost_call_that_commits_later_is_put(stores: HistoryPlace) -> None:
    async with town(stores) as here:
        with Proxy.before(here.database) as proxy:
            async with process(proxy.url, here.store, sign_seconds=0.0) as one:
                await one.writer.start()
                await append(one.ledger, here.message())
                await one.reach(1)
                async with locked(here) as lock:
                    await lose(one, proxy, lock, here)
                    await append(one.ledger, direct(here.alice, "carol"))
                    await seen_again(lock, one)
                    # Whatever was stored since: the lost call may still commit.
                    assert await one.progress() == 1
                await one.reach(3)
                assert await here.stored() == [1, 2]


@on_a_loop
async def test_a_lost_call_that_is_undone_holds_nothing_up(stores: HistoryPlace) -> None:
    async with town(stores) as here:
        with Proxy.before(here.database) as proxy:
            async with process(proxy.url, here.store, sign_seconds=0.0) as one:
                await one.writer.start()
                await append(one.ledger, here.message())
                async with locked(here) as lock:
                    session = await lose(one, proxy, lock, here)
                    await seen_again(lock, one)
                    assert await one.progress() == 1
                    assert await lock.fetchval("SELECT pg_terminate_backend($1, 5000)", session)
                    await one.reach(2)
                assert await here.stored() == [1]


@on_a_loop
async def test_a_session_that_seems_never_to_end_is_not_waited_for_for_ever(
    stores: HistoryPlace,
) -> None:
    async with town(stores) as here:
        with Proxy.before(here.database) as proxy:
            async with process(proxy.url, here.store, lost_seconds=0.1) as one:
                await one.writer.start()
                await append(one.ledger, here.message())
                async with locked(here) as lock:
                    await lose(one, proxy, lock, here)
                    await one.reach(2)


@on_a_loop
async def test_a_call_that_the_server_undid_is_not_lost(stores: HistoryPlace) -> None:
    async with town(stores) as here, process(here.database, here.store) as one:
        await append(one.ledger, here.message())
        async with locked(here) as lock:
            call = one.ledger.append([here.message()])
            await lock.execute("SELECT pg_cancel_backend($1)", await waiting_session(lock))
            with pytest.raises(BackendError):
                await call
        assert one.batches.gaps() == []
        await append(one.ledger, here.message())
        await one.writer.start()
        await one.reach(3)
        assert await here.stored() == [1, 2]


@on_a_loop
async def test_a_cancelled_call_is_looked_for(stores: HistoryPlace) -> None:
    async with town(stores) as here, process(here.database, here.store) as one:
        await one.writer.start()
        await append(one.ledger, here.message())
        async with locked(here) as lock:
            call = one.ledger.append([here.message()])
            await waiting_session(lock)
            call.cancel()
            await asyncio.wait([call])
        await one.reach(2)
        assert await here.stored() == await seqs(one, here)


async def seqs(one: Process, here: Here) -> Sequence[int]:
    return [event.seq for event in await one.ledger.read(here.chat, limit=100)]


# The end.


@on_a_loop
async def test_a_process_that_stops_puts_what_waits(stores: HistoryPlace) -> None:
    async with (
        town(stores) as here,
        process(here.database, here.store, gather_seconds=60.0) as one,
    ):
        await one.writer.start()
        here.store.failures = 2
        await append(one.ledger, *(here.message() for _ in range(3)))
        await append(one.ledger, here.message())
        await one.writer.stop()
        assert await here.stored() == [1, 2, 3, 4]
        assert await one.progress() == 2


@on_a_loop
async def test_a_stop_does_not_wait_for_a_store_that_is_away(stores: HistoryPlace) -> None:
    async with town(stores) as here, process(here.database, here.store) as one:
        await one.writer.start()
        await append(one.ledger, here.message())
        await one.reach(1)
        here.store.open.clear()
        await append(one.ledger, here.message())
        await one.writer.stop(0.05)
        assert here.store.under_way == 0
        assert await here.stored() == [1]
