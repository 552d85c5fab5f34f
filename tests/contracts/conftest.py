"""The backends that the contracts run on.

A backend is a row of `STORES`, `FABRIC` or `QUEUES`: a class that opens adapters of a kind. What
a port leaves open becomes a class attribute of it, which tests read; no test asks for a backend's
name.
"""

from collections.abc import AsyncIterator, Iterator
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
from chatd.fabric.name_filter import NameFilter
from chatd.fabric.name_filter_memory import MemoryNameFilter
from chatd.fabric.offline_queue import OfflineQueue
from chatd.fabric.offline_queue_memory import MemoryOfflineQueue
from chatd.fabric.presence_leases import PresenceLeases
from chatd.fabric.presence_leases_memory import MemoryPresenceLeases
from chatd.fabric.presence_leases_redis import RedisPresenceLeases
from chatd.fabric.rate_limits import RateLimits
from chatd.fabric.rate_limits_memory import MemoryRateLimits
from chatd.fabric.rate_limits_redis import RedisRateLimits
from chatd.metrics import Metrics
from chatd.stores.conversation_store_postgres import PostgresConversationStore
from chatd.stores.ledger import Ledger
from chatd.stores.ledger_postgres import PostgresLedger
from chatd.stores.message_store import MessageStore
from chatd.stores.pool_postgres import Postgres
from chatd.stores.user_store_postgres import PostgresUserStore
from tests.support.builders import NOW_MS, Stores, sqlite_stores
from tests.support.database import empty
from tests.support.guarded import guarded_database
from tests.support.history import PuttingLedger
from tests.support.keyspace import Keyspace
from tests.support.names import hasten, name_node
from tests.support.redis_database import own_database
from tests.support.redis_keys import check_keys
from tests.support.running import until
from tests.support.services import postgres_database, service
from tests.support.worked_queue import worked_queue


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
    limits: RateLimits


class FabricBackend(Protocol):
    """Shared state that may be lost: one empty fabric per test."""

    def open(self) -> AbstractAsyncContextManager[Fabric]: ...

    async def pass_time(self, seconds: float) -> None:
        """Let the fabric's time go by."""
        ...


class QueueBackend(Protocol):
    """Work for later: one empty queue per test."""

    def open(self, *, push_pause_seconds: int = 0) -> AbstractAsyncContextManager[OfflineQueue]:
        """A queue that was not started. What it was given is done until the end."""
        ...


class Names(NamedTuple):
    """A name filter that was not started, and the stores that it is of."""

    names: NameFilter
    stores: Stores
    metrics: Metrics

    async def built(self) -> None:
        await until(lambda: self.names.is_built)


class NamesBackend(Protocol):
    """Name filters: one empty body of data per test."""

    def open(self) -> AbstractAsyncContextManager[Names]: ...


class MessagesBackend(Protocol):
    """Events for good: tests use conversations of their own."""

    def open(self) -> AbstractAsyncContextManager[MessageStore]:
        """The store, as one process has it."""
        ...


class SqliteStores:
    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        self._folder = folder

    def open(self) -> AbstractAsyncContextManager[Stores]:
        return sqlite_stores(self._folder)


class PostgresStores:
    """One database for all tests, emptied before each."""

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        self._url = self._database(request)
        self._is_empty = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Stores]:
        postgres = await Postgres.connect(self._url)
        try:
            if not self._is_empty:
                await self._empty(postgres)
                self._is_empty = True
            yield Stores(
                PostgresUserStore(postgres),
                PostgresConversationStore(postgres),
                await self._ledger(postgres),
            )
        finally:
            await postgres.close()

    def _database(self, request: pytest.FixtureRequest) -> str:
        return postgres_database()

    async def _empty(self, postgres: Postgres) -> None:
        await empty(postgres)

    async def _ledger(self, postgres: Postgres) -> Ledger:
        return PostgresLedger(postgres, "test")


class PostgresTlsStores(PostgresStores):
    """With TLS and a password."""

    def _database(self, request: pytest.FixtureRequest) -> str:
        url: str = request.getfixturevalue("postgres_tls")
        return url


class HistoryStores(PostgresStores):
    """With Cassandra, which has everything that the ledger has."""

    keeps_nothing = False

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        super().__init__(folder, request)
        self._keyspace: Keyspace = request.getfixturevalue("keyspace")

    async def _empty(self, postgres: Postgres) -> None:
        await super()._empty(postgres)
        await self._keyspace.empty()

    async def _ledger(self, postgres: Postgres) -> Ledger:
        store = await self._keyspace.store()
        return PuttingLedger(postgres, store, Metrics(), keeps_nothing=self.keeps_nothing)


class OldHistoryStores(HistoryStores):
    """Cassandra alone has what was appended."""

    keeps_nothing = True


class MemoryFabric:
    def __init__(self, folder: Path) -> None:
        self._clock = HandClock(NOW_MS)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Fabric]:
        clock = self._clock
        yield Fabric(
            MemoryBus(),
            MemoryCache(clock, Metrics()),
            MemoryPresenceLeases(clock),
            MemoryRateLimits(clock),
        )

    async def pass_time(self, seconds: float) -> None:
        self._clock.advance(seconds)


class RedisFabric:
    """A database of Redis, emptied before each test; after it, every key in it is one of those
    that the docs name."""

    service = "redis"

    def __init__(self, folder: Path) -> None:
        self._url = own_database(service(self.service)["CHATD_REDIS_URL"])
        self._clock = HandClock(NOW_MS)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Fabric]:
        clock = self._clock
        client, bus = RedisClient(self._url), RedisBus(self._url, Metrics())
        await client.start()
        await client.call("FLUSHDB")
        await bus.start()
        try:
            yield Fabric(
                bus,
                RedisCache(client, clock),
                RedisPresenceLeases(client, clock),
                RedisRateLimits(client, clock),
            )
            await check_keys(client)
        finally:
            await bus.stop()
            await client.close()

    async def pass_time(self, seconds: float) -> None:
        self._clock.advance(seconds)


class RedisTlsFabric(RedisFabric):
    """With TLS and a password."""

    service = "redis-tls"


class MemoryNames:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Names]:
        async with sqlite_stores(self._folder) as stores:
            metrics = Metrics()
            names = MemoryNameFilter(stores.users, stores.conversations, metrics)
            yield Names(names, stores, metrics)
            await names.stop()


class RedisNames:
    """As RedisFabric."""

    service = "redis"

    def __init__(self, folder: Path) -> None:
        self._url = own_database(service(self.service)["CHATD_REDIS_URL"])
        self._folder = folder

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Names]:
        client = RedisClient(self._url)
        await client.start()
        await client.call("FLUSHDB")
        await client.close()
        async with sqlite_stores(self._folder) as stores:
            async with name_node(self._url, stores, starts=False) as node:
                yield Names(node.names, stores, node.metrics)
                await check_keys(node.client)


class RedisTlsNames(RedisNames):
    """With TLS and a password."""

    service = "redis-tls"


class MemoryQueue:
    @asynccontextmanager
    async def open(self, *, push_pause_seconds: int = 0) -> AsyncIterator[OfflineQueue]:
        yield MemoryOfflineQueue(Metrics(), push_pause_seconds=push_pause_seconds)


class RqQueue:
    """A database of Redis, and workers in this process."""

    @asynccontextmanager
    async def open(self, *, push_pause_seconds: int = 0) -> AsyncIterator[OfflineQueue]:
        url = own_database(service("redis-queue")["CHATD_QUEUE_REDIS_URL"])
        async with worked_queue(url, push_pause_seconds=push_pause_seconds) as queue:
            yield queue


class CassandraMessages:
    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._keyspace: Keyspace = request.getfixturevalue("keyspace")

    @asynccontextmanager
    async def open(self) -> AsyncIterator[MessageStore]:
        yield await self._keyspace.store()


STORES: Final[dict[str, type[SqliteStores | PostgresStores]]] = {
    "sqlite": SqliteStores,
    "postgres": PostgresStores,
}
LEDGERS: Final[dict[str, type[SqliteStores | PostgresStores]]] = {
    **STORES,
    "history": HistoryStores,
    "history-old": OldHistoryStores,
}
WITH_TLS: Final[dict[str, type[SqliteStores | PostgresStores]]] = {
    "postgres-tls": PostgresTlsStores
}
"""For a few of the tests: connecting is all that differs."""
FABRIC: Final[dict[str, type[MemoryFabric | RedisFabric]]] = {
    "memory": MemoryFabric,
    "redis": RedisFabric,
    "redis-tls": RedisTlsFabric,
}
NAMES: Final[dict[str, type[MemoryNames | RedisNames]]] = {
    "memory": MemoryNames,
    "redis": RedisNames,
    "redis-tls": RedisTlsNames,
}
QUEUES: Final[dict[str, type[MemoryQueue | RqQueue]]] = {"memory": MemoryQueue, "rq": RqQueue}


MESSAGES: Final[dict[str, type[CassandraMessages]]] = {"cassandra": CassandraMessages}


on_every_ledger: Final = pytest.mark.parametrize("stores", LEDGERS, indirect=True)
"""For the tests of the port Ledger: it has backends that the other stores do not have."""
on_every_store_and_with_tls: Final = pytest.mark.parametrize(
    "stores", STORES | WITH_TLS, indirect=True
)
on_every_ledger_and_with_tls: Final = pytest.mark.parametrize(
    "stores", LEDGERS | WITH_TLS, indirect=True
)


@pytest.fixture(params=STORES)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> StoresBackend:
    return (LEDGERS | WITH_TLS)[request.param](tmp_path, request)


@pytest.fixture(scope="session")
def postgres_tls() -> Iterator[str]:
    """A database on a server that wants TLS and a password."""
    with guarded_database() as url:
        yield url


@pytest.fixture(params=FABRIC)
def fabric(request: pytest.FixtureRequest, tmp_path: Path) -> FabricBackend:
    return FABRIC[request.param](tmp_path)


@pytest.fixture(params=NAMES)
def names(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> NamesBackend:
    hasten(monkeypatch)
    return NAMES[request.param](tmp_path)


@pytest.fixture(params=QUEUES)
def queues(request: pytest.FixtureRequest) -> QueueBackend:
    return QUEUES[request.param]()


@pytest.fixture(scope="session", params=MESSAGES)
def messages_backend(request: pytest.FixtureRequest) -> MessagesBackend:
    return MESSAGES[request.param](request)
