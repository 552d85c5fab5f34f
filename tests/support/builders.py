"""Things that many tests need: users, entries, connections that record, and a node's core."""

import asyncio
import hashlib
import json
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from chatd import ids
from chatd.auth import Principal, Tokens
from chatd.clock import HandClock
from chatd.config import Config
from chatd.delivery.catchup import Catchup
from chatd.delivery.fanout import Fanout
from chatd.delivery.hub import Hub
from chatd.delivery.outbox import EVENT_BYTES, Outbox
from chatd.delivery.pages import Pages
from chatd.delivery.relay import Relay
from chatd.delivery.release import of_entry
from chatd.delivery.sequencer import Sequencer
from chatd.events import AnyBody, EventKind, GroupCreatedBody, MemberBody, MessageBody, encode_body
from chatd.fabric.bus import Bus
from chatd.fabric.bus_memory import MemoryBus
from chatd.fabric.cache_memory import MemoryCache
from chatd.fabric.name_filter_memory import MemoryNameFilter
from chatd.fabric.offline_queue_memory import MemoryOfflineQueue
from chatd.fabric.presence_leases_memory import MemoryPresenceLeases
from chatd.fabric.webhook_sender import SenderOnDemand
from chatd.fabric.webhook_sender_aiohttp import AiohttpWebhookSender
from chatd.jobs.handlers import handlers
from chatd.metrics import Metrics
from chatd.services.accounts import Accounts, Registration
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
from chatd.services.resume import Resumes
from chatd.services.standing import Standings
from chatd.services.subscriptions import Subscriptions
from chatd.services.tails import Tails
from chatd.services.typing_status import TypingStatus
from chatd.stores.admission_sqlite import Admission
from chatd.stores.conversation_store import ConversationStore
from chatd.stores.conversation_store_sqlite import SqliteConversationStore
from chatd.stores.ledger import Done, Entry, Ledger, Outcome
from chatd.stores.ledger_sqlite import SqliteLedger
from chatd.stores.thread_sqlite import SqliteThread, migrate
from chatd.stores.user_store import UserStore
from chatd.stores.user_store_sqlite import SqliteUserStore
from chatd.stores.webhook_store_sqlite import SqliteWebhookStore
from protocol.close import CloseCode
from protocol.model import HistoryVisibility

NOW_MS: Final = 1_800_000_000_000
SECRET: Final = bytes(range(32))
EXPIRES_AT: Final = NOW_MS // 1000 + 3600

Released = tuple[Entry, Outcome]
"""An event that was committed and is to be released."""

_nonces: Final = ids.Nonces()


def principal(username: str, device_id: str = "device") -> Principal:
    return Principal(username, device_id, EXPIRES_AT)


def entry(
    conversation_id: str,
    kind: EventKind,
    sender: str,
    body: AnyBody,
    *,
    key: str | None = None,
    at_ms: int = NOW_MS,
    origin: Outbox | None = None,
    done: Done | None = None,
) -> Entry:
    """An entry as the journal hands it to a ledger: sealed, and with a mac when it has a key."""
    sealed = encode_body(body)
    mac = b"" if key is None else hashlib.blake2b(sealed, digest_size=16).digest()
    nonce = _nonces.new()
    return Entry(
        conversation_id,
        kind,
        sender,
        body,
        nonce,
        at_ms,
        key=key,
        mac=mac,
        sealed=sealed,
        origin=origin,
        done=done,
    )


def direct(
    sender: str,
    to: str,
    content: str = "hello",
    *,
    key: str | None = None,
    at_ms: int = NOW_MS,
    origin: Outbox | None = None,
    done: Done | None = None,
) -> Entry:
    """A message of one user to another."""
    return entry(
        ids.direct_id(sender, to),
        EventKind.DIRECT_MESSAGE,
        sender,
        MessageBody(content=content, to=to, client_msg_id=key),
        key=key,
        at_ms=at_ms,
        origin=origin,
        done=done,
    )


def post(
    group_id: str,
    sender: str,
    content: str = "hello",
    *,
    key: str | None = None,
    at_ms: int = NOW_MS,
    origin: Outbox | None = None,
    done: Done | None = None,
) -> Entry:
    """A message to a group."""
    return entry(
        group_id,
        EventKind.GROUP_MESSAGE,
        sender,
        MessageBody(content=content, client_msg_id=key),
        key=key,
        at_ms=at_ms,
        origin=origin,
        done=done,
    )


def create(
    group_id: str,
    creator: str,
    others: Sequence[str] = (),
    *,
    is_open: bool = False,
    history: HistoryVisibility = HistoryVisibility.JOINED,
    at_ms: int = NOW_MS,
    origin: Outbox | None = None,
) -> Entry:
    body = GroupCreatedBody(f"group {group_id}", [creator, *others], is_open, history)
    return entry(group_id, EventKind.GROUP_CREATED, creator, body, at_ms=at_ms, origin=origin)


def join(group_id: str, username: str, *, origin: Outbox | None = None) -> Entry:
    return entry(group_id, EventKind.MEMBER_JOINED, username, MemberBody(username), origin=origin)


def leave(group_id: str, username: str, *, origin: Outbox | None = None) -> Entry:
    return entry(group_id, EventKind.MEMBER_LEFT, username, MemberBody(username), origin=origin)


class Sink:
    """A socket that keeps what is written to it; `unsent` is what it says it could not send yet."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.unsent = 0
        self.written: Callable[[], None] | None = None
        """Called after each write, as a transport calls that finds itself full."""

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        if self.written is not None:
            self.written()

    def get_write_buffer_size(self) -> int:
        return self.unsent


class Reader:
    """A connection of a user as delivery sees it, with everything that it was sent."""

    def __init__(self, username: str, device_id: str = "device") -> None:
        self.sink = Sink()
        self.closes: list[CloseCode] = []
        self.outbox = Outbox(
            principal(username, device_id),
            self.sink,
            self.closes.append,
            ids.new_connection_id(),
        )

    def frames(self) -> list[dict[str, Any]]:
        return [frame for data in self.sink.writes for frame in text_frames(data)]

    def seqs(self, conversation_id: str) -> list[int]:
        """The numbers of the conversation's events that it was sent, in their order."""
        return [
            frame["seq"]
            for frame in self.frames()
            if conversation_id in (frame.get("chatId"), frame.get("groupId")) and "prev" in frame
        ]

    def of_type(self, frame_type: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames() if frame["type"] == frame_type]

    def stall(self) -> None:
        """Its socket takes nothing more: events are refused."""
        self.outbox.pause()
        self.sink.unsent = EVENT_BYTES

    def read_slowly(self) -> None:
        """Its socket is full after each write, and takes no more until the outbox is resumed."""
        self.sink.written = self.outbox.pause

    def sip(self) -> None:
        """Its socket takes one write more and is stalled again."""
        self.sink.unsent = 0
        self.sink.written = self.stall
        self.outbox.resume()

    def wake(self) -> None:
        """Its socket takes everything again."""
        self.sink.unsent = 0
        self.sink.written = None
        self.outbox.resume()


def text_frames(data: bytes) -> list[dict[str, Any]]:
    """The JSON objects of a buffer of unmasked text messages."""
    found: list[dict[str, Any]] = []
    at = 0
    while at < len(data):
        assert data[at] == 0x81
        size, start = data[at + 1], at + 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size, start = int.from_bytes(data[start : start + width], "big"), start + width
        at = start + size
        assert at <= len(data)
        found.append(json.loads(data[start:at]))
    return found


class Stores(NamedTuple):
    """The stores of one body of data."""

    users: UserStore
    conversations: ConversationStore
    ledger: Ledger


@asynccontextmanager
async def sqlite_threads(database: Path) -> AsyncIterator[tuple[SqliteThread, SqliteThread]]:
    """The writer and the reader of an embedded database, brought up to date."""
    migrate(database)
    writer = SqliteThread(database, "writer", commits=True)
    reader = SqliteThread(database, "reader", commits=False)
    try:
        yield writer, reader
    finally:
        await reader.close()
        await writer.close()


@asynccontextmanager
async def sqlite_stores(folder: Path) -> AsyncIterator[Stores]:
    """The embedded stores of a data folder; opened again, they have what they had."""
    async with sqlite_threads(folder / "chatd.sqlite") as (writer, reader):
        yield Stores(
            SqliteUserStore(writer, reader, admission := Admission()),
            SqliteConversationStore(writer, reader),
            SqliteLedger(writer, reader, admission),
        )


@asynccontextmanager
async def held(thread: SqliteThread) -> AsyncIterator[None]:
    """While a thread is held, what is submitted to it waits, to be one batch."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(_: sqlite3.Connection) -> None:
        begun.set()
        go_on.wait()

    holding = thread.submit(hold)
    await asyncio.to_thread(begun.wait)
    try:
        yield
    finally:
        go_on.set()
        await holding


@asynccontextmanager
async def failing(thread: SqliteThread, table: str) -> AsyncIterator[None]:
    """While it lasts, everything that the thread does with the table fails."""

    def verdict(action: int, name: str | None, *_: object) -> int:
        return sqlite3.SQLITE_DENY if name == table else sqlite3.SQLITE_OK

    await thread.submit(lambda connection: connection.set_authorizer(verdict))
    try:
        yield
    finally:
        await thread.submit(lambda connection: connection.set_authorizer(None))


async def traced(thread: SqliteThread) -> list[str]:
    """A list that gets every statement which the thread executes from now on."""
    statements: list[str] = []
    await thread.submit(lambda connection: connection.set_trace_callback(statements.append))
    return statements


async def add_users(users: UserStore, *usernames: str) -> None:
    for username in usernames:
        await users.create(username, f"hash of {username}", username.capitalize(), NOW_MS)


async def append(ledger: Ledger, *entries: Entry) -> list[Outcome]:
    """Append entries of which none may be refused."""
    outcomes = await ledger.append(entries)
    assert [outcome.code for outcome in outcomes] == [None] * len(entries)
    return outcomes


class Core:
    """An embedded node from the services down: everything but sockets."""

    def __init__(
        self,
        writer: SqliteThread,
        reader: SqliteThread,
        *,
        registration: Registration = Registration.OPEN,
        bus: Bus | None = None,
        beside: "Core | None" = None,
    ) -> None:
        """With `beside` another node on the same stores, which has its own bus."""
        self.writer = writer
        self.reader = reader
        self.clock = HandClock(NOW_MS)
        self.metrics = Metrics()
        # What it mirrors is of the writer thread.
        admission = Admission() if beside is None else beside.admission
        self.admission: Admission = admission
        self.users = SqliteUserStore(writer, reader, admission)
        self.store = SqliteConversationStore(writer, reader)
        self.ledger = SqliteLedger(writer, reader, admission)
        self.bus = bus or MemoryBus()
        self.cache = MemoryCache(self.clock, self.metrics)
        # Not started: tests make accounts and groups in the stores, where it does not see them.
        self.names = MemoryNameFilter(self.users, self.store, self.metrics)
        self.leases: MemoryPresenceLeases = (
            MemoryPresenceLeases(self.clock) if beside is None else beside.leases
        )
        self.hub = Hub()
        self.pages = Pages(self.ledger, self.metrics)
        self.fanout = Fanout(self.hub, self.pages, self.metrics)
        self.sequencer = Sequencer(
            self.hub, self.fanout, self.ledger, self.metrics, lambda: self.settled()
        )
        self.relay = Relay(self.hub, self.fanout, self.sequencer, self.bus, ids.new_connection_id())
        self.catchup = Catchup(self.pages, self.metrics)
        self.tokens = Tokens(SECRET)
        self.control = Control(self.bus, self.hub)
        self.accounts = Accounts(
            self.users,
            self.cache,
            self.tokens,
            self.control,
            self.clock,
            self.metrics,
            registration=registration,
            bcrypt_cost=4,
            names=self.names,
        )
        self.receipts = Receipts(self.store, self.ledger, self.relay, self.metrics)
        self.presence = Presence(
            self.leases, self.users, self.store, self.hub, self.bus, self.clock
        )
        self.journal = Journal(self.ledger, self.relay, self.metrics, b"key of the macs")
        self.journal.befriended = self.presence.befriended
        self.subscriptions = Subscriptions(
            self.hub,
            self.store,
            self.ledger,
            self.receipts,
            self.catchup,
            self.settled,
            self.sequencer,
            self.relay,
        )
        self.resumes = Resumes(self.hub, self.store, self.ledger, self.catchup, self.subscriptions)
        self.gate = Gate(self.journal, self.names, self.hub.rooms)
        self.messages = Messages(self.gate, self.clock)
        self.changes = Changes(self.journal, self.clock)
        self.conversations = Conversations(
            self.gate, self.store, self.users, self.relay, self.clock, self.names
        )
        self.overviews = Overviews(self.store, self.ledger)
        self.groups = Groups(self.journal, self.store, self.overviews, self.clock)
        self.blocks = Blocks(self.users, self.accounts, self.presence, self.clock)
        self.typing_status = TypingStatus(self.store, self.relay)
        self.queue = MemoryOfflineQueue(self.metrics)
        self.webhooks = SqliteWebhookStore(writer, reader)
        self.sender = SenderOnDemand(lambda: AiohttpWebhookSender(["127.0.0.0/8"]))
        self.handlers = handlers(
            Config(),
            self.store,
            self.ledger,
            self.webhooks,
            self.leases,
            self.queue,
            self.sender,
            self.clock,
            self.metrics,
        )
        self.offline = Offline(self.queue, self.handlers, self.hub)
        self.journal.released = self.offline.note
        self.histories = Histories(
            self.accounts,
            self.store,
            self.ledger,
            self.presence,
            self.receipts,
            Standings(self.store, self.hub),
            Tails(self.cache, self.ledger, self.metrics),
            self.names,
        )
        self.bootstrap = Bootstrap(self.accounts, self.overviews, self.presence, self.receipts)
        self._committed = 0
        self._released = 0
        """Events that `commit` made and `release` took."""
        self._has_released = asyncio.Event()

    async def settled(self) -> None:
        """Wait until what was committed by now, here and in the journal, was released."""
        committed = self._committed
        await self.journal.settled()
        while self._released < committed:
            self._has_released.clear()
            await self._has_released.wait()

    async def stop(self) -> None:
        await self.gate.drain()
        await self.journal.drain()
        await self.subscriptions.stop()
        await self.receipts.drain()
        await self.offline.stop()
        await self.sender.close()
        self.typing_status.stop()
        await self.sequencer.stop()
        await self.relay.stop()
        await self.presence.stop()
        await self.control.stop()
        self.accounts.close()

    async def commit(self, *entries: Entry) -> list[Released]:
        """Append entries without telling anybody: what `release` takes, now or later."""
        self._committed += len(entries)
        return await self.commit_elsewhere(*entries)

    async def commit_elsewhere(self, *entries: Entry) -> list[Released]:
        """As `commit`, but nothing here knows that a release is to come: another node's doing."""
        outcomes = await append(self.ledger, *entries)
        return list(zip(entries, outcomes, strict=True))

    def release(self, *events: Released) -> None:
        """Hand committed events to delivery, those of one conversation together."""
        self._released += len(events)
        by_conversation: dict[str, list[Released]] = {}
        for entry, outcome in events:
            by_conversation.setdefault(entry.conversation_id, []).append((entry, outcome))
        for conversation_id, together in by_conversation.items():
            self.relay.release(conversation_id, [of_entry(*released) for released in together])
        self._has_released.set()

    async def connect(
        self, username: str, device_id: str = "device", *, resumes: bool = False
    ) -> Reader:
        """A connection of the user in its rooms; what it missed is on its way, unless it
        `resumes`."""
        reader = Reader(username, device_id)
        await self.subscriptions.connect(reader.outbox, resumes=resumes)
        return reader

    async def submit(self, *entries: Entry) -> list[Outcome]:
        """Submit entries to the journal in one turn of the loop, and wait for their outcomes."""
        outcomes: list[Outcome] = []
        for one in entries:
            one.done = lambda _, outcome: outcomes.append(outcome)
            self.journal.submit(one)
        await self.journal.drain()
        return outcomes


@asynccontextmanager
async def core(
    folder: Path, *usernames: str, registration: Registration = Registration.OPEN
) -> AsyncIterator[Core]:
    """A core on a data folder, with accounts for these users."""
    async with sqlite_threads(folder / "chatd.sqlite") as (writer, reader):
        made = Core(writer, reader, registration=registration)
        await add_users(made.users, *usernames)
        await made.control.start()
        await made.presence.start()
        await made.offline.start()
        try:
            yield made
        finally:
            await made.stop()
