"""The composition root: configuration -> adapters -> services -> daemons, and the order
of start and stop."""

import asyncio
import errno
import gc
import hashlib
import resource
import socket as sockets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from loguru import logger

from chatd import __version__, demo
from chatd.api.context import ApiContext
from chatd.api.server import HttpServer, application
from chatd.auth import Tokens
from chatd.clock import SystemClock
from chatd.config import Config
from chatd.data_dir import DataDir
from chatd.delivery.catchup import Catchup
from chatd.delivery.fanout import Fanout
from chatd.delivery.hub import Hub
from chatd.dispatch import Dispatcher, Services
from chatd.edge.connection import NodeContext
from chatd.edge.keepalive import Keepalive
from chatd.edge.server import DoorServer
from chatd.errors import StartError
from chatd.fabric.bus_memory import MemoryBus
from chatd.fabric.cache_memory import MemoryCache
from chatd.fabric.presence_leases_memory import MemoryPresenceLeases
from chatd.metrics import Metrics
from chatd.services.accounts import Accounts
from chatd.services.bootstrap import Bootstrap
from chatd.services.control import Control
from chatd.services.conversations import Conversations
from chatd.services.history import Histories
from chatd.services.journal import Journal
from chatd.services.messages import Messages
from chatd.services.presence import Presence
from chatd.services.receipts import Receipts
from chatd.services.subscriptions import Subscriptions
from chatd.stores.conversation_store_sqlite import SqliteConversationStore
from chatd.stores.ledger_sqlite import SqliteLedger
from chatd.stores.thread_sqlite import SqliteThread, migrate
from chatd.stores.user_store_sqlite import SqliteUserStore
from chatd.tasks import TaskOwner
from protocol.session import Door

SWEEP_SECONDS: Final = 5
_FILES_BESIDES_CONNECTIONS: Final = 200
_BACKLOG: Final = 4096
_LAST_TASKS_SECONDS: Final = 2


class Ports(NamedTuple):
    """The ports that are really listened on."""

    http: int
    chat: int
    presence: int


def raise_file_limit() -> int:
    """Let the process open as many files as it may; how many connections fit under that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(hard - _FILES_BESIDES_CONNECTIONS, 100)


def bind(host: str, port: int, what: str) -> sockets.socket:
    """A bound socket. Raises StartError: the port is taken, or the address is
    not this machine's."""
    try:
        family, kind, protocol, _, address = sockets.getaddrinfo(
            host, port, type=sockets.SOCK_STREAM, flags=sockets.AI_PASSIVE
        )[0]
        listener = sockets.socket(family, kind, protocol)
        listener.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        mend = f"stop what uses it or set CHATD_{what.upper()}_PORT"
        if error.errno != errno.EADDRINUSE and error.errno != errno.EACCES:
            mend = "set CHATD_HOST to an address of this machine"
        raise StartError(
            f"cannot listen on {host}:{port} ({what}): {error.strerror}; {mend}"
        ) from None
    return listener


class App:
    """One process of chatd on the embedded default."""

    def __init__(self, config: Config) -> None:
        if not config.is_embedded:
            raise StartError(
                "this version runs on the embedded default only:"
                " unset CHATD_DATABASE_URL, CHATD_CASSANDRA_HOSTS and CHATD_REDIS_URL"
            )
        self._config = config
        self._stopping = asyncio.Event()
        self.when_ready: Callable[[Ports], None] | None = None
        """Called once everything is listened on."""

    @property
    def host(self) -> str:
        return self._config.host

    def stop(self) -> None:
        """Begin to stop; `run` returns when everything is written and closed."""
        self._stopping.set()

    async def run(self, data_dir: DataDir, *, with_demo: bool = False) -> None:
        """Serve until `stop`. The data folder's lock is held by the caller.

        Raises:
            StartError: a port or the database cannot be used.
        """
        config = self._config
        max_connections = raise_file_limit()
        listeners = [
            bind(config.host, config.http_port, "http"),
            bind(config.host, config.chat_port, "chat"),
            bind(config.host, config.presence_port, "presence"),
        ]
        migrate(data_dir.database)
        writer = SqliteThread(data_dir.database, "sqlite-writer", commits=True)
        reader = SqliteThread(data_dir.database, "sqlite-reader", commits=False)
        try:
            await self._serve(data_dir, listeners, writer, reader, max_connections, with_demo)
        finally:
            await reader.close()
            await writer.close()

    async def _serve(
        self,
        data_dir: DataDir,
        listeners: Sequence[sockets.socket],
        writer: SqliteThread,
        reader: SqliteThread,
        max_connections: int,
        with_demo: bool,
    ) -> None:
        config = self._config
        secret = (config.jwt_secret or data_dir.jwt_secret()).encode()
        # Adapters
        users = SqliteUserStore(writer, reader)
        store = SqliteConversationStore(writer, reader)
        ledger = SqliteLedger(writer, reader)
        clock = SystemClock()
        bus, leases = MemoryBus(), MemoryPresenceLeases(clock)
        metrics = Metrics()
        cache = MemoryCache(clock, metrics)
        # Services
        hub, tasks, keepalive = Hub(), TaskOwner(), Keepalive()
        control = Control(bus, hub)
        accounts = Accounts(
            users,
            cache,
            Tokens(secret),
            control,
            clock,
            metrics,
            registration=config.registration,
            bcrypt_cost=config.bcrypt_cost,
        )
        receipts = Receipts(store, metrics)
        presence = Presence(leases, users, store, hub, bus, clock)
        mac_key = hashlib.blake2b(secret, digest_size=32, person=b"chatd body mac").digest()
        journal = Journal(ledger, Fanout(hub, metrics), metrics, mac_key)
        journal.befriended = presence.befriended
        subscriptions = Subscriptions(
            hub, store, ledger, receipts, Catchup(ledger, metrics), journal.settled
        )
        conversations = Conversations(journal, store, control, clock)
        services = Services(
            messages=Messages(journal, clock),
            conversations=conversations,
            histories=Histories(accounts, store, ledger, presence, receipts),
            bootstrap=Bootstrap(accounts, store, presence, receipts),
            presence=presence,
        )
        await control.start()
        await presence.start()
        if with_demo:
            await demo.create(accounts, users, store, conversations)
        # Daemons
        node = NodeContext(
            Dispatcher(services),
            subscriptions,
            presence,
            receipts,
            keepalive,
            clock,
            metrics,
            tasks,
            await users.log_id(),
        )
        chat, watch = (
            DoorServer(
                door,
                accounts,
                node,
                allowed_origins=config.allowed_origins,
                max_connections=max_connections,
            )
            for door in (Door.CHAT, Door.PRESENCE)
        )
        http: HttpServer

        def all_roles_accept() -> bool:
            return chat.is_accepting and watch.is_accepting and http.is_accepting

        context = ApiContext(accounts, clock, metrics, all_roles_accept, config.metrics_allow)
        http = HttpServer(application(context))
        http_listener, chat_listener, presence_listener = listeners
        await chat.listen(chat_listener)
        await watch.listen(presence_listener)
        serving = asyncio.create_task(http.serve(http_listener), name="http")
        keepalive.start()
        sweeping = asyncio.create_task(_sweep(presence), name="sweep")
        gc.collect()
        gc.freeze()
        self._announce(Ports(*(listener.getsockname()[1] for listener in listeners)), data_dir.path)
        await self._stopping.wait()

        logger.info("stopping: {} connections", metrics.connections)
        sweeping.cancel()
        keepalive.stop()
        await asyncio.gather(chat.drain(config.drain_seconds), watch.drain(config.drain_seconds))
        await journal.drain()
        http.stop()
        await serving
        await tasks.finish(_LAST_TASKS_SECONDS)
        await subscriptions.stop()
        await receipts.drain()
        await presence.stop()
        await control.stop()
        accounts.close()
        logger.info("stopped; everything is written")

    def _announce(self, ports: Ports, data_dir: Path) -> None:
        host = self._config.host
        logger.bind(http=ports.http, chat=ports.chat, presence=ports.presence).info(
            "chatd {} is ready: http://{}:{} chat ws://{}:{} presence ws://{}:{} data {}",
            __version__,
            host,
            ports.http,
            host,
            ports.chat,
            host,
            ports.presence,
            data_dir,
        )
        if self.when_ready is not None:
            self.when_ready(ports)


async def _sweep(presence: Presence) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        await presence.sweep()
