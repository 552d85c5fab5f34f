"""Port WebhookStore."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from chatd.stores.migrate_postgres import migrate
from chatd.stores.pool_postgres import Postgres
from chatd.stores.webhook_store import Webhook, WebhookStore
from chatd.stores.webhook_store_postgres import PostgresWebhookStore
from chatd.stores.webhook_store_sqlite import SqliteWebhookStore
from tests.support.builders import NOW_MS, sqlite_threads
from tests.support.running import on_a_loop
from tests.support.services import postgres_database

ONE = Webhook("https://example.org/one?a=b", "whsec_one", NOW_MS)
TWO = Webhook("https://example.org/two", "whsec_two", NOW_MS + 1)

Open = Callable[[], AbstractAsyncContextManager[WebhookStore]]


@asynccontextmanager
async def on_sqlite(folder: Path, _: str) -> AsyncIterator[WebhookStore]:
    async with sqlite_threads(folder / "chatd.sqlite") as (writer, reader):
        yield SqliteWebhookStore(writer, reader)


@asynccontextmanager
async def on_postgres(_: Path, url: str) -> AsyncIterator[WebhookStore]:
    postgres = await Postgres.connect(url)
    try:
        await migrate(postgres)
        await postgres.execute("DELETE FROM webhook")
        yield PostgresWebhookStore(postgres)
    finally:
        await postgres.close()


BACKENDS: Final = {"sqlite": on_sqlite, "postgres": on_postgres}


@pytest.fixture(params=BACKENDS)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    url = postgres_database() if request.param == "postgres" else ""
    return lambda: BACKENDS[request.param](tmp_path, url)


@on_a_loop
async def test_a_user_has_one_webhook(open_store: Open) -> None:
    async with open_store() as store:
        assert await store.get("alice") is None
        await store.put("alice", ONE)
        await store.put("bob", TWO)
        assert (await store.get("alice"), await store.get("bob")) == (ONE, TWO)
        await store.put("alice", TWO)
        assert (await store.get("alice"), await store.get("bob")) == (TWO, TWO)


@on_a_loop
async def test_who_has_one(open_store: Open) -> None:
    async with open_store() as store:
        await store.put("alice", ONE)
        await store.put("carol", TWO)
        assert await store.having(["alice", "bob", "carol", "nobody"]) == {"alice", "carol"}
        assert await store.having({"bob"}) == set()
        assert await store.having([]) == set()


@on_a_loop
async def test_it_is_taken_away(open_store: Open) -> None:
    async with open_store() as store:
        await store.put("alice", ONE)
        await store.put("bob", ONE)
        assert await store.remove("alice")
        assert not await store.remove("alice")
        assert (await store.get("alice"), await store.get("bob")) == (None, ONE)


@on_a_loop
async def test_only_the_one_that_is_meant_is_taken_away(open_store: Open) -> None:
    async with open_store() as store:
        await store.put("alice", TWO)
        assert not await store.remove("alice", ONE)
        # The same URL with a new secret is another one.
        assert not await store.remove("alice", TWO._replace(secret="whsec_older"))
        assert not await store.remove("alice", TWO._replace(url="https://example.org/older"))
        assert not await store.remove("bob", TWO)
        assert await store.get("alice") == TWO
        assert await store.remove("alice", TWO)
        assert await store.get("alice") is None
