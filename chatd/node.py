"""One node: the services and daemons on whatever adapters it is given, and the order of start and
stop. The adapters are chosen in `app.py`."""

import asyncio
import gc
import hashlib
import socket as sockets
from typing import Final, NamedTuple

from loguru import logger

from chatd import demo
from chatd.api.context import ApiContext
from chatd.api.server import HttpServer, application
from chatd.auth import Tokens
from chatd.clock import Clock
from chatd.config import Config
from chatd.delivery.catchup import Catchup
from chatd.delivery.fanout import Fanout
from chatd.delivery.hub import Hub
from chatd.delivery.pages import Pages
from chatd.dispatch import Dispatcher, Services
from chatd.edge.connection import NodeContext
from chatd.edge.frame_limits import FrameLimits
from chatd.edge.keepalive import Keepalive
from chatd.edge.server import DoorServer
from chatd.errors import BackendError
from chatd.fabric.bus import Bus
from chatd.fabric.cache import Cache
from chatd.fabric.offline_queue import OfflineQueue
from chatd.fabric.presence_leases import PresenceLeases
from chatd.metrics import Metrics
from chatd.services.accounts import Accounts
from chatd.services.blocks import Blocks
from chatd.services.bootstrap import Bootstrap
from chatd.services.changes import Changes
from chatd.services.control import Control
from chatd.services.conversations import Conversations
from chatd.services.groups import Groups
from chatd.services.history import Histories
from chatd.services.journal import Journal
from chatd.services.messages import Messages
from chatd.services.offline import Offline
from chatd.services.presence import Presence
from chatd.services.receipts import Receipts
from chatd.services.subscriptions import Subscriptions
from chatd.services.typing_status import TypingStatus
from chatd.stores.conversation_store import ConversationStore
from chatd.stores.ledger import Ledger
from chatd.stores.user_store import UserStore
from chatd.tasks import TaskOwner
from protocol.session import Door

SWEEP_SECONDS: Final = 5
_LAST_TASKS_SECONDS: Final = 2


class Adapters(NamedTuple):
    """What a node stands on: one adapter for each port."""

    users: UserStore
    conversations: ConversationStore
    ledger: Ledger
    bus: Bus
    cache: Cache
    leases: PresenceLeases
    offline_queue: OfflineQueue
    clock: Clock
    metrics: Metrics


class Listeners(NamedTuple):
    """Bound sockets."""

    http: sockets.socket
    chat: sockets.socket
    presence: sockets.socket


class Node:
    def __init__(self, config: Config, adapters: Adapters, secret: bytes) -> None:
        users, store, ledger, bus, cache, leases, offline_queue, clock, metrics = adapters
        self._config = config
        self._adapters = adapters
        hub = Hub()
        self._tasks = TaskOwner()
        self._keepalive = Keepalive()
        self._control = Control(bus, hub)
        self._accounts = Accounts(
            users,
            cache,
            Tokens(secret),
            self._control,
            clock,
            metrics,
            registration=config.registration,
            bcrypt_cost=config.bcrypt_cost,
        )
        self._receipts = Receipts(store, ledger, self._control, metrics)
        self._presence = Presence(leases, users, store, hub, bus, clock)
        mac_key = hashlib.blake2b(secret, digest_size=32, person=b"chatd body mac").digest()
        pages = Pages(ledger, metrics)
        self._offline = Offline(offline_queue, store, leases, hub)
        self._journal = Journal(ledger, Fanout(hub, pages, metrics), metrics, mac_key)
        self._journal.befriended = self._presence.befriended
        self._journal.released = self._offline.note
        self._subscriptions = Subscriptions(
            hub, store, ledger, self._receipts, Catchup(pages, metrics), self._journal.settled
        )
        self._conversations = Conversations(self._journal, store, users, self._control, clock)
        self._typing_status = TypingStatus(store, hub, bus)
        self._frame_limits = FrameLimits() if config.rate_limits == "on" else None
        self._services = Services(
            messages=Messages(self._journal, clock),
            changes=Changes(self._journal, clock),
            conversations=self._conversations,
            subscriptions=self._subscriptions,
            receipts=self._receipts,
            typing_status=self._typing_status,
            histories=Histories(
                self._accounts,
                store,
                ledger,
                self._presence,
                self._receipts,
                lambda: metrics.commits,
            ),
            bootstrap=Bootstrap(self._accounts, store, self._presence, self._receipts),
            presence=self._presence,
        )
        self._doors: list[DoorServer] = []
        self._http = HttpServer(
            application(
                ApiContext(
                    self._accounts,
                    Groups(self._journal, store, clock),
                    Blocks(users, self._accounts, self._presence, clock),
                    clock,
                    metrics,
                    self._all_roles_accept,
                    config.metrics_allow,
                )
            )
        )
        self._serving: list[asyncio.Task[None]] = []

    async def start(
        self, listeners: Listeners, *, max_connections: int, with_demo: bool = False
    ) -> None:
        """Accept connections on the bound sockets; with `with_demo`, make the demo users first."""
        users, store = self._adapters.users, self._adapters.conversations
        await self._control.start()
        await self._presence.start()
        await self._typing_status.start()
        await self._offline.start()
        if with_demo:
            await demo.create(self._accounts, users, store, self._conversations)
        context = NodeContext(
            Dispatcher(self._services),
            self._subscriptions,
            self._presence,
            self._receipts,
            self._keepalive,
            self._adapters.clock,
            self._adapters.metrics,
            self._tasks,
            await users.log_id(),
            self._frame_limits,
        )
        for door, listener in ((Door.CHAT, listeners.chat), (Door.PRESENCE, listeners.presence)):
            server = DoorServer(
                door,
                self._accounts,
                context,
                allowed_origins=self._config.allowed_origins,
                max_connections=max_connections,
            )
            await server.listen(listener)
            self._doors.append(server)
        self._serving = [
            asyncio.create_task(self._http.serve(listeners.http), name="http"),
            asyncio.create_task(_sweep(self._presence, self._frame_limits), name="sweep"),
        ]
        self._keepalive.start()
        # What is there now stays: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()

    async def stop(self) -> None:
        """Accept nothing more, close every connection, write everything."""
        logger.info("stopping: {} connections", self._adapters.metrics.connections)
        http, sweep = self._serving
        sweep.cancel()
        self._keepalive.stop()
        seconds = self._config.drain_seconds
        await asyncio.gather(*(door.drain(seconds) for door in self._doors))
        await self._journal.drain()
        self._http.stop()
        await http
        await self._tasks.finish(_LAST_TASKS_SECONDS)
        await self._subscriptions.stop()
        await self._receipts.drain()
        await self._offline.stop()
        await self._typing_status.stop()
        await self._presence.stop()
        await self._control.stop()
        self._accounts.close()
        logger.info("stopped; everything is written")

    def _all_roles_accept(self) -> bool:
        return (
            bool(self._doors)
            and all(door.is_accepting for door in self._doors)
            and self._http.is_accepting
        )


async def _sweep(presence: Presence, frame_limits: FrameLimits | None) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        if frame_limits is not None:
            frame_limits.sweep(asyncio.get_running_loop().time())
        try:
            await presence.sweep()
        except BackendError as error:
            logger.warning("presence leases were not swept: {}", error)
