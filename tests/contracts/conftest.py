"""The backends that the contracts run on.

A backend is a row of `STORES`, `FABRIC` or `QUEUES`: a class that opens adapters of a kind. What
a port leaves open becomes a class attribute of it, which tests read; no test asks for a backend's
name.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import pytest

from chatd.clock import HandClock
from chatd.fabric.bus import Bus
from chatd.fabric.bus_memory import MemoryBus
from chatd.fabric.bus_redis import RedisBus
from chatd.fabric.cache import Cache
from chatd.fabric.cache_memory import MemoryCache
from chatd.fabric.cache_redis import RedisCache
from chatd.fabric.client_redis import RedisClient
from chatd.fabric.offline_queue import OfflineQueue
from chatd.fabric.offline_queue_memory import MemoryOfflineQueue
from chatd.fabric.presence_leases import PresenceLeases
from chatd.fabric.presence_leases_memory import MemoryPresenceLeases
from chatd.fabric.presence_leases_redis import RedisPresenceLeases
from chatd.metrics import Metrics
from chatd.stores.conversation_store_postgres import PostgresConversationStore
from chatd.stores.ledger_postgres import PostgresLedger
from chatd.stores.migrate_postgres import migrate
from chatd.stores.pool_postgres import Postgres
from chatd.stores.user_store_postgres import PostgresUserStore
from tests.support.builders import NOW_MS, Stores, sqlite_stores
from tests.support.services import postgres_database, service


class StoresBackend(Protocol):
    """Durable stores: one body of data per test."""

    def open(self) -> AbstractAsyncContextManager[Stores]:
        """The stores of the test's data; for a second time, the same data."""
        ...


class Fabric(NamedTuple):
    """One node's adapters."""

    bus: Bus
    cache: Cache
    leases: PresenceLeases


class FabricBackend(Protocol):
    """Shared state that may be lost: one empty fabric per test."""

    def open(self) -> AbstractAsyncContextManager[Fabric]: ...

    async def pass_time(self, seconds: float) -> None:
        """Let the fabric's time go by."""
        ...


class QueueBackend(Protocol):
    """Work for later: one empty queue per test."""

    def open(self) -> AbstractAsyncContextManager[OfflineQueue]:
        """A queue that was not started."""
        ...


class SqliteStores:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> AbstractAsyncContextManager[Stores]:
        return sqlite_stores(self._folder)


class PostgresStores:
    """One database for all tests, emptied before each."""

    def __init__(self, folder: Path) -> None:
        self._url = postgres_database()
        self._is_empty = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Stores]:
        postgres = await Postgres.connect(self._url)
        try:
            if not self._is_empty:
                await migrate(postgres)
                await postgres.execute(_EMPTY)
                self._is_empty = True
            yield Stores(
                PostgresUserStore(postgres),
                PostgresConversationStore(postgres),
                PostgresLedger(postgres, "test"),
            )
        finally:
            await postgres.close()


_EMPTY: Final = """DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables
        WHERE schemaname = 'public' AND tablename <> 'applied_schema' LOOP
        EXECUTE format('DELETE FROM %I', name);
    END LOOP;
END $$"""


class MemoryFabric:
    def __init__(self, folder: Path) -> None:
        self._clock = HandClock(NOW_MS)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Fabric]:
        cache = MemoryCache(self._clock, Metrics())
        yield Fabric(MemoryBus(), cache, MemoryPresenceLeases(self._clock))

    async def pass_time(self, seconds: float) -> None:
        self._clock.advance(seconds)


class RedisFabric:
    """A database of Redis, emptied before each test."""

    def __init__(self, folder: Path) -> None:
        self._url = service("redis")["CHATD_REDIS_URL"]
        self._clock = HandClock(NOW_MS)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Fabric]:
        client = RedisClient(self._url)
        await client.call("FLUSHDB")
        bus = RedisBus(client)
        await bus.start()
        try:
            leases = RedisPresenceLeases(client, self._clock)
            yield Fabric(bus, RedisCache(client, self._clock), leases)
        finally:
            await bus.stop()
            await client.close()

    async def pass_time(self, seconds: float) -> None:
        self._clock.advance(seconds)


class MemoryQueue:
    @asynccontextmanager
    async def open(self) -> AsyncIterator[OfflineQueue]:
        yield MemoryOfflineQueue(Metrics())


STORES: Final[dict[str, type[SqliteStores | PostgresStores]]] = {
    "sqlite": SqliteStores,
    "postgres": PostgresStores,
}
FABRIC: Final[dict[str, type[MemoryFabric | RedisFabric]]] = {
    "memory": MemoryFabric,
    "redis": RedisFabric,
}
QUEUES: Final[dict[str, type[MemoryQueue]]] = {"memory": MemoryQueue}


@pytest.fixture(params=STORES)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> StoresBackend:
    return STORES[request.param](tmp_path)


@pytest.fixture(params=FABRIC)
def fabric(request: pytest.FixtureRequest, tmp_path: Path) -> FabricBackend:
    return FABRIC[request.param](tmp_path)


@pytest.fixture(params=QUEUES)
def queues(request: pytest.FixtureRequest) -> QueueBackend:
    return QUEUES[request.param]()
