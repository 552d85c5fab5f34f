"""The adapters of the embedded default: SQLite in the data folder, and parts of this process."""

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chatd.clock import SystemClock
from chatd.config import Config
from chatd.data_dir import DataDir
from chatd.fabric.bus_memory import MemoryBus
from chatd.fabric.cache_memory import MemoryCache
from chatd.fabric.name_filter_memory import MemoryNameFilter
from chatd.fabric.offline_queue_memory import MemoryOfflineQueue
from chatd.fabric.presence_leases_memory import MemoryPresenceLeases
from chatd.fabric.webhook_sender import SenderOnDemand, WebhookSender
from chatd.metrics import Metrics
from chatd.node import Adapters
from chatd.readiness import Probe
from chatd.stores.admission_sqlite import Admission
from chatd.stores.conversation_store_sqlite import SqliteConversationStore
from chatd.stores.ledger_sqlite import SqliteLedger
from chatd.stores.probe_sqlite import probe_sqlite
from chatd.stores.thread_sqlite import SqliteThread, migrate
from chatd.stores.user_store_sqlite import SqliteUserStore
from chatd.stores.webhook_store_sqlite import SqliteWebhookStore


@asynccontextmanager
async def embedded(config: Config, data_dir: DataDir, metrics: Metrics) -> AsyncIterator[Adapters]:
    """The adapters, closed at the end. The data folder's lock is held by the caller.

    Raises:
        StartError: the database cannot be used.
    """
    migrate(data_dir.database)
    writer = SqliteThread(data_dir.database, "sqlite-writer", commits=True)
    reader = SqliteThread(data_dir.database, "sqlite-reader", commits=False)
    clock, admission = SystemClock(), Admission()
    sender = SenderOnDemand(lambda: _sender(config))
    try:
        users = SqliteUserStore(writer, reader, admission)
        conversations = SqliteConversationStore(writer, reader)
        yield Adapters(
            users=users,
            conversations=conversations,
            ledger=SqliteLedger(writer, reader, admission),
            bus=MemoryBus(),
            cache=MemoryCache(clock, metrics),
            names=MemoryNameFilter(users, conversations, metrics),
            leases=MemoryPresenceLeases(clock),
            offline_queue=MemoryOfflineQueue(
                metrics, push_pause_seconds=config.webhook_pause_seconds
            ),
            webhooks=SqliteWebhookStore(writer, reader),
            webhook_sender=sender,
            clock=clock,
            metrics=metrics,
            probes=[Probe("sqlite", functools.partial(probe_sqlite, writer), is_needed=True)],
        )
    finally:
        await sender.close()
        await reader.close()
        await writer.close()


def _sender(config: Config) -> WebhookSender:
    from chatd.fabric.webhook_sender_aiohttp import AiohttpWebhookSender

    return AiohttpWebhookSender(config.webhook_allow)
