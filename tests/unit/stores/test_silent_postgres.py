"""chatd.stores.pool_postgres: a server that does not answer keeps one waiting, not all."""

import asyncio

import pytest

from chatd.errors import BackendError
from chatd.stores import pool_postgres as module
from chatd.stores.pool_postgres import Postgres
from tests.support.proxy import Proxy
from tests.support.running import on_a_loop
from tests.support.services import postgres_database


@pytest.fixture
def database() -> str:
    return postgres_database()


@pytest.mark.slow
@on_a_loop
async def test_while_it_is_silent_one_asks_and_the_others_fail_at_once(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REPLY_SECONDS", 0.5)
    with Proxy.before(database) as proxy:
        postgres = await Postgres.connect(proxy.url)
        try:
            assert await postgres.fetchval("SELECT 1") == 1
            proxy.stall()
            with pytest.raises(BackendError):
                await postgres.fetchval("SELECT 2")
            probe = asyncio.ensure_future(postgres.fetchval("SELECT 3"))
            await asyncio.sleep(0)
            for _ in range(100):
                with pytest.raises(BackendError, match="does not answer"):
                    await postgres.fetchval("SELECT 4")
            assert not probe.done(), "nobody waited for it"
            with pytest.raises(BackendError):
                await probe
            proxy.heal()
            assert await postgres.fetchval("SELECT 5") == 5
            found = await asyncio.gather(*(postgres.fetchval("SELECT 6") for _ in range(9)))
            assert found == [6] * 9
        finally:
            await postgres.close()


@pytest.mark.slow
@on_a_loop
async def test_an_error_that_it_tells_is_an_answer(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REPLY_SECONDS", 0.5)
    with Proxy.before(database) as proxy:
        postgres = await Postgres.connect(proxy.url)
        try:
            proxy.stall()
            with pytest.raises(BackendError):
                await postgres.fetchval("SELECT 1")
            proxy.heal()
            with pytest.raises(BackendError, match="division by zero"):
                await postgres.fetchval("SELECT 1 / 0")
            found = await asyncio.gather(*(postgres.fetchval("SELECT 1") for _ in range(2)))
            assert found == [1, 1]
        finally:
            await postgres.close()
