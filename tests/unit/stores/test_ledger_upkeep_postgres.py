"""chatd.stores.ledger_upkeep_postgres: partitions come in time, and go when nothing in them is
missed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
import pytest

from chatd.errors import BackendError
from chatd.metrics import Metrics
from chatd.stores.batches import Batches
from chatd.stores.ledger_postgres import PostgresLedger
from chatd.stores.ledger_upkeep_postgres import LedgerUpkeep
from chatd.stores.migrate_postgres import DAYS_AHEAD
from chatd.stores.pool_postgres import Postgres
from chatd.stores.unstored_rows_postgres import PostgresUnstoredRows
from chatd.stores.user_store_postgres import PostgresUserStore
from tests.support.builders import NOW_MS, add_users, append, direct
from tests.support.database import empty_database
from tests.support.running import on_a_loop
from tests.support.services import postgres_database
from tests.support.writers import until_it

CHAT: Final = "alice-bob"
_TODAY: Final = "(now() AT TIME ZONE 'UTC')::date"


@pytest.fixture
def database() -> str:
    return postgres_database()


@asynccontextmanager
async def town(database: str) -> AsyncIterator[Postgres]:
    """A database with partitions from five days ago on, and two users."""
    async with empty_database(database) as postgres:
        await add_users(PostgresUserStore(postgres), "alice", "bob")
        for days in range(-5, 0):
            await postgres.execute(
                f"DO $$ DECLARE day date := {_TODAY} + {days}; BEGIN EXECUTE format("
                "'CREATE TABLE IF NOT EXISTS %I PARTITION OF ledger FOR VALUES FROM (%L) TO (%L)',"
                " 'ledger_' || to_char(day, 'YYYYMMDD'), day, day + 1); END $$"
            )
        try:
            yield postgres
        finally:
            await postgres.execute("DELETE FROM ledger")
            await LedgerUpkeep(postgres).round()


async def partitions(postgres: Postgres) -> list[int]:
    """The days of the partitions, as seen from today."""
    rows = await postgres.fetch(
        f"SELECT to_date(right(relname, 8), 'YYYYMMDD') - {_TODAY} AS day FROM pg_inherits"
        " JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'ledger'::regclass"
        " ORDER BY day"
    )
    return [row["day"] for row in rows]


async def wrote(postgres: Postgres, writer: str, *days_ago: int) -> None:
    """A process appended one event in one call for each of these days."""
    ledger = PostgresLedger(postgres, writer, Batches(Metrics()))
    for days in days_ago:
        (outcome,) = await append(ledger, direct("alice", "bob"))
        await postgres.execute(
            f"UPDATE ledger SET day = {_TODAY} - {days} WHERE conversation_id = $1 AND seq = $2",
            CHAT,
            outcome.seq,
        )


@on_a_loop
async def test_old_partitions_go_when_they_are_empty(database: str) -> None:
    async with town(database) as postgres:
        assert (await partitions(postgres))[:6] == [-5, -4, -3, -2, -1, 0]
        await LedgerUpkeep(postgres).round()
        assert (await partitions(postgres))[:4] == [-3, -2, -1, 0]


@on_a_loop
async def test_no_partition_goes_of_which_something_is_not_stored(database: str) -> None:
    async with town(database) as postgres:
        rows = PostgresUnstoredRows(postgres)
        await wrote(postgres, "one", 5, 5, 4)
        await wrote(postgres, "other", 5)
        upkeep = LedgerUpkeep(postgres)
        await rows.record("one", 1)
        await rows.record("other", 1)
        await upkeep.round()
        assert (await partitions(postgres))[:2] == [-5, -4]
        await rows.record("one", 2)
        await upkeep.round()
        assert (await partitions(postgres))[:2] == [-4, -3]
        await rows.record("one", 3)
        await upkeep.round()
        assert (await partitions(postgres))[:2] == [-3, -2]


@on_a_loop
async def test_of_a_process_that_nobody_knows_nothing_is_stored(database: str) -> None:
    async with town(database) as postgres:
        await wrote(postgres, "unknown", 4)
        await LedgerUpkeep(postgres).round()
        assert (await partitions(postgres))[0] == -4


@on_a_loop
async def test_what_is_not_old_stays_although_it_is_stored(database: str) -> None:
    async with town(database) as postgres:
        await wrote(postgres, "one", 3, 2, 1, 0)
        await PostgresUnstoredRows(postgres).record("one", 4)
        await LedgerUpkeep(postgres).round()
        ledger = PostgresLedger(postgres, "one")
        assert [event.seq for event in await ledger.read(CHAT, limit=9)] == [1, 2, 3, 4]


@on_a_loop
async def test_partitions_are_made_ahead_while_others_append(database: str) -> None:
    async with town(database) as postgres:
        await LedgerUpkeep(postgres).round()
        ahead = list(range(DAYS_AHEAD + 1))
        for days in ahead[1:]:
            await postgres.execute(
                f"DO $$ BEGIN EXECUTE format('DROP TABLE %I', 'ledger_' ||"
                f" to_char({_TODAY} + {days}, 'YYYYMMDD')); END $$"
            )
        other = await asyncpg.connect(database)
        try:
            async with other.transaction():
                # Who appends holds this until its commit.
                await other.execute("LOCK ledger IN ROW EXCLUSIVE MODE")
                await LedgerUpkeep(postgres).round()
                assert [day for day in await partitions(postgres) if day >= 0] == ahead
        finally:
            await other.close()
        # They have all indexes, and take rows.
        await wrote(postgres, "one", -1, -2)
        counts = await postgres.fetch(
            "SELECT count(*) FROM pg_index JOIN pg_inherits ON indrelid = inhrelid"
            " WHERE inhparent = 'ledger'::regclass GROUP BY indrelid"
        )
        whole = await postgres.fetchval(
            "SELECT count(*) FROM pg_index WHERE indrelid = 'ledger'::regclass"
        )
        assert {row[0] for row in counts} == {whole}


@on_a_loop
async def test_a_partition_that_is_in_use_goes_another_time(database: str) -> None:
    async with town(database) as postgres:
        other = await asyncpg.connect(database)
        try:
            async with other.transaction():
                await other.execute("LOCK ledger IN ACCESS SHARE MODE")
                with pytest.raises(BackendError):
                    await LedgerUpkeep(postgres, lock_seconds=0.01).round()
                assert (await partitions(postgres))[0] == -5
        finally:
            await other.close()
        await LedgerUpkeep(postgres).round()
        assert (await partitions(postgres))[0] == -3


@on_a_loop
async def test_one_process_is_enough(database: str) -> None:
    async with town(database) as postgres:
        async with postgres.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('chatd upkeep'))")
            await LedgerUpkeep(postgres).round()
            assert (await partitions(postgres))[0] == -5
        await asyncio.gather(*(LedgerUpkeep(postgres).round() for _ in range(5)))
        assert (await partitions(postgres))[0] == -3


@on_a_loop
async def test_it_is_done_at_the_start_and_again(database: str) -> None:
    async with town(database) as postgres:
        upkeep = LedgerUpkeep(postgres, pause_seconds=0.01)
        await upkeep.start()
        try:

            async def is_done() -> bool:
                return (await partitions(postgres))[0] == -3

            await until_it(is_done)
            await postgres.execute(
                "INSERT INTO notice (kind, username, at)"
                " VALUES ('revoked', 'alice', now() - interval '2 days')"
            )

            async def is_gone() -> bool:
                return not await postgres.fetchval("SELECT count(*) FROM notice")

            await until_it(is_gone)
        finally:
            await upkeep.stop()


@on_a_loop
async def test_notices_stay_for_a_day(database: str) -> None:
    async with town(database) as postgres:
        await PostgresUserStore(postgres).revoke_all("alice", NOW_MS)
        await LedgerUpkeep(postgres).round()
        assert await postgres.fetchval("SELECT count(*) FROM notice") == 1


@on_a_loop
async def test_processes_go_when_they_are_long_gone_and_nothing_of_them_is_left(
    database: str,
) -> None:
    async with town(database) as postgres:
        await wrote(postgres, "has rows", 0)
        for writer in ("has rows", "has none", "is alive"):
            await PostgresUnstoredRows(postgres).record(writer, 1)
        await postgres.execute(
            "UPDATE writer SET seen_at = now() - interval '2 days' WHERE writer LIKE 'has%'"
        )
        await LedgerUpkeep(postgres).round()
        rows = await postgres.fetch("SELECT writer FROM writer ORDER BY writer")
        assert [row[0] for row in rows] == ["has rows", "is alive"]
