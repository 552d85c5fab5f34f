"""chatd.stores.append_postgres: what the contract of the ledger does not see. What becomes of calls
whose outcome is unknown is in `test_history_writer.py`."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest

from chatd.metrics import Metrics
from chatd.stores.batches import Batches
from chatd.stores.ledger_postgres import PostgresLedger
from chatd.stores.pool_postgres import Postgres
from chatd.stores.user_store_postgres import PostgresUserStore
from tests.support.builders import NOW_MS, add_users, append, create, direct, post
from tests.support.changes import delete, edit, place, react
from tests.support.database import empty_database
from tests.support.running import on_a_loop, on_a_quick_loop
from tests.support.services import postgres_database

USERS: Final = ("alice", "bob", "carol", "dave", "erin")
CHAT: Final = "alice-bob"


@pytest.fixture
def database() -> str:
    return postgres_database()


@asynccontextmanager
async def town(database: str) -> AsyncIterator[Postgres]:
    async with empty_database(database) as postgres:
        await add_users(PostgresUserStore(postgres), *USERS)
        yield postgres


@on_a_loop
async def test_rows_carry_the_process_and_the_number_of_the_call(database: str) -> None:
    async with town(database) as postgres:
        one, other = (PostgresLedger(postgres, name, Batches(Metrics())) for name in ("one", "two"))
        await append(one, direct("alice", "bob"), create("7", "alice"))
        await append(other, direct("bob", "alice"))
        await append(one, post("7", "alice"))
        rows = await postgres.fetch(
            "SELECT conversation_id, seq, writer, batch FROM ledger ORDER BY conversation_id, seq"
        )
        assert [tuple(row) for row in rows] == [
            ("7", 1, "one", 1),
            ("7", 2, "one", 2),
            (CHAT, 1, "one", 1),
            (CHAT, 2, "two", 1),
        ]


@on_a_loop
async def test_new_events_are_handed_over_as_they_are_stored(database: str) -> None:
    async with town(database) as postgres:
        batches = Batches(Metrics())
        ledger = PostgresLedger(postgres, "one", batches)
        said = post("7", "bob", "said", key="k")
        await append(ledger, create("7", "alice", ["bob"]), said)
        await ledger.append([post("7", "bob", "said", key="k"), post("7", "carol")])
        await append(
            ledger,
            edit(place(said, 2), "bob"),
            react(place(said, 2), "alice", "🎉"),
            react(place(said, 2), "alice", "🎉", remove=True),
            react(place(said, 2), "alice", "🎉", remove=True),
        )
        await append(ledger, delete(place(said, 2), "alice"))
        group = batches.take(100)
        assert group is not None
        assert group.batches == [1, 3, 4]
        events = [put.event for put in group.puts]
        assert [event.seq for event in events] == [1, 2, 3, 4, 5, 6]
        stored = await ledger.read("7", limit=10)
        # By then the delete has blanked what the message and its edit said.
        assert [stored[0], *stored[3:]] == [events[0], *events[3:]]
        assert [(put.target, put.emoji, put.remove) for put in group.puts] == [
            (None, None, False),
            (None, None, False),
            (2, None, False),
            (2, "🎉", False),
            (2, "🎉", True),
            (2, None, False),
        ]
        batches.put(group)
        assert batches.stored == 4


@on_a_loop
@pytest.mark.parametrize("days", [-1, 0, 1])
async def test_a_key_is_found_on_the_day_before_and_after(database: str, days: int) -> None:
    async with town(database) as postgres:
        ledger = PostgresLedger(postgres, "one")
        await append(ledger, direct("alice", "bob", "once", key="k"))
        await postgres.execute(
            "DO $$ DECLARE day date := (now() AT TIME ZONE 'UTC')::date - 1; BEGIN EXECUTE format("
            "'CREATE TABLE IF NOT EXISTS %I PARTITION OF ledger FOR VALUES FROM (%L) TO (%L)',"
            " 'ledger_' || to_char(day, 'YYYYMMDD'), day, day + 1); END $$"
        )
        await postgres.execute("UPDATE ledger SET day = day + $1::integer", days)
        (repeat,) = await append(ledger, direct("alice", "bob", "once", key="k"))
        assert (repeat.seq, repeat.duplicate, repeat.at_ms) == (1, True, NOW_MS)


@on_a_quick_loop
async def test_calls_that_touch_the_same_conversations_do_not_lock_each_other_out(
    database: str,
) -> None:
    async with town(database) as postgres:
        chance = random.Random(7)
        pairs = [(one, other) for one in USERS for other in USERS if one < other]
        ledgers = [PostgresLedger(postgres, f"process {n}") for n in range(4)]
        for pair in pairs:
            await append(ledgers[0], direct(*pair))
        calls = []
        for _ in range(40):
            for ledger in ledgers:
                chance.shuffle(pairs)
                calls.append(ledger.append([direct(*pair) for pair in pairs]))
        for outcomes in await asyncio.gather(*calls):
            assert [outcome.code for outcome in outcomes] == [None] * len(pairs)
        heads = await ledgers[0].heads(
            [f"{one}-{other}" for one, other in sorted(map(sorted, pairs))]
        )
        assert set(heads.values()) == {161} and len(heads) == len(pairs)
