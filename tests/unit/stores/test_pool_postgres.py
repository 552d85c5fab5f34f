"""chatd.stores.pool_postgres"""

import asyncio

import asyncpg
import pytest

from chatd.errors import BackendError
from chatd.stores.pool_postgres import CONNECTIONS, STATEMENT_SECONDS, Postgres, session_name
from tests.support.proxy import Proxy
from tests.support.running import on_a_loop, turns
from tests.support.services import postgres_database

_PID = "SELECT pg_backend_pid()"


@pytest.fixture
def database() -> str:
    return postgres_database()


@on_a_loop
async def test_a_connection_is_used_again_without_a_round_trip_in_between(database: str) -> None:
    postgres = await Postgres.connect(database)
    other = await asyncpg.connect(database)
    try:
        pids = {await postgres.fetchval(_PID) for _ in range(20)}
        assert len(pids) == 1
        last = "SELECT query FROM pg_stat_activity WHERE pid = $1"
        assert await other.fetchval(last, *pids) == _PID
    finally:
        await other.close()
        await postgres.close()


@on_a_loop
async def test_all_connections_work_at_once_and_more_wait(database: str) -> None:
    postgres = await Postgres.connect(database)
    try:
        everybody = asyncio.Barrier(CONNECTIONS)

        async def meet() -> int:
            async with postgres.connection() as connection:
                await everybody.wait()
                pid: int = await connection.fetchval(_PID)
                return pid

        assert len(set(await asyncio.gather(*(meet() for _ in range(CONNECTIONS))))) == CONNECTIONS
        # As many again, of whom each needs all of them.
        assert len(set(await asyncio.gather(*(meet() for _ in range(CONNECTIONS))))) == CONNECTIONS
        many = await asyncio.gather(*(postgres.fetchval(_PID) for _ in range(10 * CONNECTIONS)))
        assert len(set(many)) <= CONNECTIONS
    finally:
        await postgres.close()


@on_a_loop
async def test_a_connection_that_was_lost_is_replaced(database: str) -> None:
    postgres = await Postgres.connect(database)
    try:
        async with postgres.connection() as one, postgres.connection() as other:
            pids = {one.get_server_pid(), other.get_server_pid()}
        ended = await asyncpg.connect(database)
        try:
            for pid in pids:
                assert await ended.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
        finally:
            await ended.close()
        found: set[int] = set()
        while not found:
            try:
                found.add(await postgres.fetchval(_PID))
            except BackendError:
                # It was told that it is ended, and has not read that yet.
                continue
        assert found.isdisjoint(pids)
        await asyncio.gather(*(postgres.fetchval(_PID) for _ in range(3 * CONNECTIONS)))
    finally:
        await postgres.close()


@on_a_loop
async def test_what_failed_or_was_cancelled_leaves_nothing_behind(database: str) -> None:
    postgres = await Postgres.connect(database)
    try:
        for n in range(2 * CONNECTIONS):
            with pytest.raises(BackendError):
                async with postgres.connection() as connection:
                    await connection.execute("SET application_name = 'of a failure'")
                    await connection.execute("SELECT 1 / 0")
            waiting = asyncio.create_task(postgres.execute("SELECT pg_sleep(60)"))
            await turns(1 + n % 8)
            waiting.cancel()
            await asyncio.wait([waiting])
            assert waiting.cancelled()
            assert await postgres.fetchval("SHOW application_name") == "chatd"
        assert not await postgres.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND state IN ('active', 'idle in transaction')"
        )
    finally:
        await postgres.close()


@on_a_loop
async def test_the_server_ends_what_takes_too_long(database: str) -> None:
    postgres = await Postgres.connect(database)
    try:
        async with postgres.connection() as connection:
            assert await connection.fetchval("SHOW statement_timeout") == f"{STATEMENT_SECONDS:g}s"
            assert (
                await connection.fetchval("SHOW idle_in_transaction_session_timeout")
                == f"{STATEMENT_SECONDS:g}s"
            )
            await connection.execute("SET statement_timeout = 10")
            with pytest.raises(asyncpg.QueryCanceledError):
                await connection.execute("SELECT pg_sleep(60)")
            await connection.execute("RESET statement_timeout")
    finally:
        await postgres.close()


@on_a_loop
async def test_sessions_carry_the_name_of_who_appends(database: str) -> None:
    postgres = await Postgres.connect(database, writer="a1b2")
    try:
        name = await postgres.fetchval("SHOW application_name")
        assert name == session_name("a1b2")
    finally:
        await postgres.close()


@on_a_loop
async def test_after_closing_everything_fails_at_once(database: str) -> None:
    postgres = await Postgres.connect(database)
    async with postgres.connection() as connection:
        closing = asyncio.create_task(postgres.close())
        await asyncio.sleep(0)
        assert await connection.fetchval("SELECT 1") == 1
        assert not closing.done()
    await closing
    with pytest.raises(BackendError):
        await postgres.fetchval("SELECT 1")
    await postgres.close()


@on_a_loop
async def test_a_server_that_is_gone_is_an_error_and_not_for_ever(database: str) -> None:
    with Proxy.before(database) as proxy:
        postgres = await Postgres.connect(proxy.url)
        try:
            assert await postgres.fetchval("SELECT 1") == 1
            proxy.cut()
            for _ in range(2 * CONNECTIONS):
                with pytest.raises(BackendError):
                    await postgres.fetchval("SELECT 1")
            proxy.heal()
            assert await postgres.fetchval("SELECT 1") == 1
        finally:
            await postgres.close()
