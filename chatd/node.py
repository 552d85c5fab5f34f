"""One node: the services and daemons on whatever adapters it is given, and the order of start and
stop. The adapters are chosen in `app.py`."""

import asyncio
import gc
import hashlib
import socket as sockets
from collections.abc import Sequence
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
from chatd.delivery.relay import Relay
from chatd.delivery.sequencer import Sequencer
from chatd.dispatch import Dispatcher, Services
from chatd.edge.connection import NodeContext
from chatd.edge.frame_limits import FrameLimits
from chatd.edge.keepalive import Keepalive
from chatd.edge.server import DoorServer
from chatd.errors import BackendError
from chatd.fabric.bus import Bus
from chatd.fabric.cache import Cache
from chatd.fabric.name_filter import NameFilter
from chatd.fabric.offline_queue import OfflineQueue
from chatd.fabric.presence_leases import PresenceLeases
from chatd.fabric.webhook_sender import WebhookSender
from chatd.jobs.handlers import handlers
from chatd.metrics import Metrics
from chatd.readiness import Probe, Readiness
from chatd.services.accounts import Accounts
from chatd.services.blocks import Blocks
from chatd.services.bootstrap import Bootstrap
from chatd.services.changes import Changes
from chatd.services.control import Control
from chatd.services.conversations import Conversations
from chatd.services.gate import Gate
from chatd.services.groups import Groups
from chatd.services.history import Histories
from chatd.services.journal import Journal
from chatd.services.messages import Messages
from chatd.services.offline import Offline
from chatd.services.overviews import Overviews
from chatd.services.presence import Presence
from chatd.services.receipts import Receipts
from chatd.services.reconciler import Reconciler
from chatd.services.resume import Resumes
from chatd.services.standing import Standings
from chatd.services.subscriptions import Subscriptions
from chatd.services.tails import Tails
from chatd.services.typing_status import TypingStatus
from chatd.services.webhooks import Webhooks
from chatd.stores.change_feed import ChangeFeed
from chatd.stores.conversation_store import ConversationStore
from chatd.stores.ledger import Ledger
from chatd.stores.user_store import UserStore
from chatd.stores.webhook_store import WebhookStore
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
    names: NameFilter
    leases: PresenceLeases
    offline_queue: OfflineQueue
    webhooks: WebhookStore
    webhook_sender: WebhookSender
    clock: Clock
    metrics: Metrics
    feed: ChangeFeed | None = None
    """None where no other process uses the stores."""
    node_id: str = ""
    """Unique among the processes that use them."""
    probes: Sequence[Probe] = ()


class Listeners(NamedTuple):
    """Bound sockets; None for a role that the process does not have."""

    http: sockets.socket | None
    chat: sockets.socket | None
    presence: sockets.socket | None
    own_http: sockets.socket | None = None
    """HTTP of this process alone, where several share the others."""


class Node:
    def __init__(self, config: Config, adapters: Adapters, secret: bytes) -> None:
        users, store, ledger = adapters.users, adapters.conversations, adapters.ledger
        bus, cache, leases = adapters.bus, adapters.cache, adapters.leases
        clock, metrics = adapters.clock, adapters.metrics
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
            names=adapters.names,
        )
        self._presence = Presence(leases, users, store, hub, bus, clock)
        mac_key = hashlib.blake2b(secret, digest_size=32, person=b"chatd body mac").digest()
        pages = Pages(ledger, metrics)
        catchup = Catchup(pages, metrics)
        self._offline = Offline(
            adapters.offline_queue,
            handlers(
                config,
                store,
                ledger,
                adapters.webhooks,
                leases,
                adapters.offline_queue,
                adapters.webhook_sender,
                clock,
                metrics,
            ),
            hub,
        )
        fanout = Fanout(hub, pages, metrics)
        self._sequencer = Sequencer(hub, fanout, ledger, metrics, lambda: self._journal.settled())
        self._relay = Relay(hub, fanout, self._sequencer, bus, adapters.node_id)
        self._journal = Journal(ledger, self._relay, metrics, mac_key)
        self._journal.befriended = self._presence.befriended
        self._journal.released = self._offline.note
        self._reconciler: Reconciler | None = None
        if adapters.feed is not None:
            self._reconciler = Reconciler(
                adapters.feed, ledger, self._sequencer, hub, self._control, self._presence, bus
            )
            self._journal.uncertain = self._reconciler.suspect
        self._receipts = Receipts(store, ledger, self._relay, metrics)
        self._subscriptions = Subscriptions(
            hub,
            store,
            ledger,
            self._receipts,
            catchup,
            self._journal.settled,
            self._sequencer,
            self._relay,
        )
        self._gate = Gate(self._journal, adapters.names, hub.rooms)
        self._conversations = Conversations(
            self._gate, store, users, self._relay, clock, adapters.names
        )
        self._typing_status = TypingStatus(store, self._relay)
        self._frame_limits = FrameLimits() if config.rate_limits == "on" else None
        overviews = Overviews(store, ledger)
        self._services = Services(
            messages=Messages(self._gate, clock),
            changes=Changes(self._journal, clock),
            conversations=self._conversations,
            resumes=Resumes(hub, store, ledger, catchup, self._subscriptions),
            receipts=self._receipts,
            typing_status=self._typing_status,
            histories=Histories(
                self._accounts,
                store,
                ledger,
                self._presence,
                self._receipts,
                Standings(store, hub),
                Tails(cache, ledger, metrics) if bus.is_shared else None,
                adapters.names,
            ),
            bootstrap=Bootstrap(self._accounts, overviews, self._presence, self._receipts),
            presence=self._presence,
        )
        self._doors: dict[str, DoorServer] = {}
        self._http_listeners: list[sockets.socket] = []
        self._http = HttpServer(
            application(
                ApiContext(
                    self._accounts,
                    Groups(self._journal, store, overviews, clock),
                    Blocks(users, self._accounts, self._presence, clock),
                    Webhooks(adapters.webhooks, clock, config.webhook_allow),
                    clock,
                    metrics,
                    self._accepting,
                    Readiness(adapters.probes, clock),
                    adapters.node_id,
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
        await self._adapters.names.start()
        await self._presence.start()
        await self._relay.start()
        if self._reconciler is not None:
            await self._reconciler.start()
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
            if listener is None:
                continue
            server = DoorServer(
                door,
                self._accounts,
                context,
                allowed_origins=self._config.allowed_origins,
                max_connections=max_connections,
            )
            await server.listen(listener)
            self._doors[door.name.lower()] = server
        self._http_listeners = [
            listener for listener in (listeners.http, listeners.own_http) if listener is not None
        ]
        self._serving = [
            asyncio.create_task(self._serve_http(), name="http"),
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
        await asyncio.gather(*(door.drain(seconds) for door in self._doors.values()))
        await self._gate.drain()
        await self._journal.drain()
        self._http.stop()
        await http
        await self._tasks.finish(_LAST_TASKS_SECONDS)
        await self._adapters.names.stop()
        await self._subscriptions.stop()
        await self._receipts.drain()
        await self._offline.stop()
        self._typing_status.stop()
        if self._reconciler is not None:
            await self._reconciler.stop()
        await self._sequencer.stop()
        await self._relay.stop()
        await self._presence.stop()
        await self._control.stop()
        self._accounts.close()
        logger.info("stopped; everything is written")

    async def _serve_http(self) -> None:
        if self._http_listeners:
            await self._http.serve(self._http_listeners)

    def _accepting(self) -> dict[str, bool]:
        accepting = {name: door.is_accepting for name, door in self._doors.items()}
        return {"http": self._http.is_accepting} | accepting


async def _sweep(presence: Presence, frame_limits: FrameLimits | None) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        if frame_limits is not None:
            frame_limits.sweep(asyncio.get_running_loop().time())
        try:
            await presence.sweep()
        except BackendError as error:
            logger.warning("presence leases were not swept: {}", error)
