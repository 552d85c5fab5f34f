"""The composition root: configuration -> adapters -> node. The only module that knows adapters."""

import asyncio
import errno
import resource
import socket as sockets
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from loguru import logger

from chatd import __version__
from chatd.clock import SystemClock
from chatd.config import Config
from chatd.data_dir import DataDir
from chatd.errors import StartError
from chatd.fabric.bus_memory import MemoryBus
from chatd.fabric.cache_memory import MemoryCache
from chatd.fabric.offline_queue_memory import MemoryOfflineQueue
from chatd.fabric.presence_leases_memory import MemoryPresenceLeases
from chatd.metrics import Metrics
from chatd.node import Adapters, Listeners, Node
from chatd.stores.admission_sqlite import Admission
from chatd.stores.conversation_store_sqlite import SqliteConversationStore
from chatd.stores.ledger_sqlite import SqliteLedger
from chatd.stores.thread_sqlite import SqliteThread, migrate
from chatd.stores.user_store_sqlite import SqliteUserStore

_FILES_BESIDES_CONNECTIONS: Final = 200
_BACKLOG: Final = 4096


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
        listeners = Listeners(
            bind(config.host, config.http_port, "http"),
            bind(config.host, config.chat_port, "chat"),
            bind(config.host, config.presence_port, "presence"),
        )
        migrate(data_dir.database)
        writer = SqliteThread(data_dir.database, "sqlite-writer", commits=True)
        reader = SqliteThread(data_dir.database, "sqlite-reader", commits=False)
        clock, metrics, admission = SystemClock(), Metrics(), Admission()
        adapters = Adapters(
            users=SqliteUserStore(writer, reader, admission),
            conversations=SqliteConversationStore(writer, reader),
            ledger=SqliteLedger(writer, reader, admission),
            bus=MemoryBus(),
            cache=MemoryCache(clock, metrics),
            leases=MemoryPresenceLeases(clock),
            offline_queue=MemoryOfflineQueue(metrics),
            clock=clock,
            metrics=metrics,
        )
        try:
            secret = config.jwt_secret or data_dir.jwt_secret()
            node = Node(config, adapters, secret.encode())
            await node.start(listeners, max_connections=max_connections, with_demo=with_demo)
            ports = Ports(*(listener.getsockname()[1] for listener in listeners))
            self._announce(ports, data_dir.path)
            await self._stopping.wait()
            await node.stop()
        finally:
            await reader.close()
            await writer.close()

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
