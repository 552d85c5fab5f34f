"""The adapters of the real backends: PostgreSQL, Cassandra, Redis and RQ, and what a start asks of
them."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final, NamedTuple

from loguru import logger

from chatd.clock import SystemClock
from chatd.config import Config
from chatd.fabric import start_redis
from chatd.fabric.bus_redis import RedisBus
from chatd.fabric.cache_redis import RedisCache
from chatd.fabric.client_redis import RedisClient
from chatd.fabric.name_filter_redis import RedisNameFilter
from chatd.fabric.offline_queue_rq import RqOfflineQueue
from chatd.fabric.presence_leases_redis import RedisPresenceLeases
from chatd.fabric.webhook_sender import SenderOnDemand, WebhookSender
from chatd.metrics import Metrics
from chatd.node import Adapters
from chatd.readiness import Probe
from chatd.stores import migrate_cassandra, migrate_postgres, start_postgres
from chatd.stores.batches import Batches
from chatd.stores.change_feed_postgres import PostgresChangeFeed
from chatd.stores.conversation_store_postgres import PostgresConversationStore
from chatd.stores.history_takeover import HistoryTakeover
from chatd.stores.history_writer import HistoryWriter
from chatd.stores.ledger_history import HistoryLedger
from chatd.stores.ledger_postgres import PostgresLedger
from chatd.stores.ledger_upkeep_postgres import LedgerUpkeep
from chatd.stores.message_store_cassandra import CassandraMessageStore
from chatd.stores.open_cassandra import Hosts
from chatd.stores.pool_postgres import Postgres
from chatd.stores.probe_cassandra import probe_cassandra
from chatd.stores.recent_events_postgres import PostgresRecentEvents
from chatd.stores.session_cassandra import Cassandra
from chatd.stores.unstored_rows_postgres import PostgresUnstoredRows
from chatd.stores.user_store_postgres import PostgresUserStore
from chatd.stores.webhook_store_postgres import PostgresWebhookStore
from chatd.waiting import Patience

_LAST_PUTS_SECONDS: Final = 2.0
"""What was not put by then is put by another process, or by this one's next."""


class _Connections(NamedTuple):
    postgres: Postgres
    cassandra: Cassandra
    redis: RedisClient
    queue_redis: RedisClient
    """Of readiness alone: the queue has its own."""
    bus: RedisBus


@asynccontextmanager
async def on_backends(config: Config, metrics: Metrics) -> AsyncIterator[Adapters]:
    """The adapters of one node, closed at the end.

    Raises:
        StartError: a backend refuses, is not set up for this version, or would lose what is acked.
        BackendAway: one is not there.
    """
    clock, node_id = SystemClock(), secrets.token_hex(6)
    async with AsyncExitStack() as stack:
        postgres, cassandra, redis, queue_redis, bus = await _connect(
            config, node_id, metrics, stack
        )
        probes = _probes(postgres, cassandra, redis, queue_redis)
        for probe in probes:
            for warning in (await probe.ask()).warnings:
                logger.warning(warning)
        sender = SenderOnDemand(lambda: _sender(config))
        stack.push_async_callback(sender.close)
        users, conversations = PostgresUserStore(postgres), PostgresConversationStore(postgres)
        yield Adapters(
            users=users,
            conversations=conversations,
            ledger=await _ledger(postgres, cassandra, node_id, metrics, stack),
            bus=bus,
            cache=RedisCache(redis, clock),
            names=RedisNameFilter(redis, users, conversations, clock, metrics),
            leases=RedisPresenceLeases(redis, clock),
            offline_queue=RqOfflineQueue(
                _queue_url(config), metrics, push_pause_seconds=config.webhook_pause_seconds
            ),
            webhooks=PostgresWebhookStore(postgres),
            webhook_sender=sender,
            clock=clock,
            metrics=metrics,
            feed=PostgresChangeFeed(postgres),
            node_id=node_id,
            probes=probes,
        )


async def migrate(config: Config) -> list[str]:
    """Bring the backends up to the schema of this version; a line for each file that was applied.

    Raises:
        StartError: a backend refuses, or was set up by a newer version.
        BackendAway: one is not there.
        BackendError: one was lost meanwhile.
    """
    patience = Patience()
    async with AsyncExitStack() as stack:
        postgres = await _postgres(config, patience, stack)
        cassandra = await _cassandra(config, patience, stack)
        applied = [f"PostgreSQL: {name}" for name in await migrate_postgres.migrate(postgres)]
        files = await migrate_cassandra.migrate(
            cassandra, config.cassandra_keyspace, config.cassandra_replication
        )
    return applied + [f"Cassandra: {name}" for name in files]


async def _connect(
    config: Config, node_id: str, metrics: Metrics, stack: AsyncExitStack
) -> _Connections:
    """Reach every backend, see that it is fit, and leave to `stack` to close it."""
    patience = Patience()
    postgres = await _postgres(config, patience, stack, writer=node_id)
    await start_postgres.check_durability(postgres, config.database_url)
    await migrate_postgres.check(postgres)
    redis = await _redis(config.redis_url, "CHATD_REDIS_URL", patience, stack)
    queue_redis = await _redis(_queue_url(config), "CHATD_QUEUE_REDIS_URL", patience, stack)
    cassandra = await _cassandra(config, patience, stack)
    await cassandra.use(config.cassandra_keyspace)
    await migrate_cassandra.check(cassandra)
    bus = await patience.reach(start_redis.name_of(config.redis_url), lambda: _bus(config, metrics))
    stack.push_async_callback(bus.stop)
    return _Connections(postgres, cassandra, redis, queue_redis, bus)


async def _ledger(
    postgres: Postgres, cassandra: Cassandra, node_id: str, metrics: Metrics, stack: AsyncExitStack
) -> HistoryLedger:
    """The ledger with the message store behind it, and what fills that and keeps the ledger small:
    `stack` stops it, when nothing is appended any more."""
    store = await CassandraMessageStore.prepare(cassandra)
    batches, rows = Batches(metrics), PostgresUnstoredRows(postgres)
    writer = HistoryWriter(node_id, batches, rows, store, metrics)
    await writer.start()
    stack.push_async_callback(writer.stop, _LAST_PUTS_SECONDS)
    takeover = HistoryTakeover(node_id, rows, store, metrics)
    await takeover.start()
    stack.push_async_callback(takeover.stop)
    upkeep = LedgerUpkeep(postgres)
    await upkeep.start()
    stack.push_async_callback(upkeep.stop)
    return HistoryLedger(
        PostgresLedger(postgres, node_id, batches),
        PostgresRecentEvents(postgres),
        store,
        SystemClock(),
        metrics,
    )


async def _postgres(
    config: Config, patience: Patience, stack: AsyncExitStack, *, writer: str | None = None
) -> Postgres:
    url = config.database_url
    postgres = await patience.reach(
        start_postgres.name_of(url), lambda: start_postgres.open_postgres(url, writer=writer)
    )
    stack.push_async_callback(postgres.close)
    return postgres


async def _cassandra(config: Config, patience: Patience, stack: AsyncExitStack) -> Cassandra:
    hosts = Hosts(
        config.cassandra_hosts,
        config.cassandra_username,
        config.cassandra_password,
        config.cassandra_tls_ca,
    )
    cassandra = await patience.reach(str(hosts), lambda: Cassandra.connect(hosts))
    stack.push_async_callback(cassandra.close)
    return cassandra


async def _redis(url: str, setting: str, patience: Patience, stack: AsyncExitStack) -> RedisClient:
    redis = await patience.reach(
        start_redis.name_of(url), lambda: start_redis.open_redis(url, setting)
    )
    stack.push_async_callback(redis.close)
    return redis


async def _bus(config: Config, metrics: Metrics) -> RedisBus:
    bus = RedisBus(config.redis_url, metrics)
    await bus.start()
    return bus


def _probes(
    postgres: Postgres, cassandra: Cassandra, redis: RedisClient, queue_redis: RedisClient
) -> list[Probe]:
    return [
        Probe("postgresql", partial(start_postgres.probe_postgres, postgres), is_needed=True),
        Probe("cassandra", partial(probe_cassandra, cassandra)),
        Probe("redis", partial(start_redis.probe_redis, redis)),
        Probe("queueRedis", partial(start_redis.probe_queue_redis, queue_redis, redis)),
    ]


def _queue_url(config: Config) -> str:
    return config.queue_redis_url or config.redis_url


def _sender(config: Config) -> WebhookSender:
    from chatd.fabric.webhook_sender_aiohttp import AiohttpWebhookSender

    return AiohttpWebhookSender(config.webhook_allow)
