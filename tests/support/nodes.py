"""Two nodes from the services down, on the same stores, with a bus between them that may lose,
delay and mix up what it is told."""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from chatd.fabric.bus import Listener
from chatd.fabric.bus_memory import MemoryBus
from chatd.services.reconciler import Reconciler
from chatd.stores.change_feed import Change, Happened
from chatd.stores.thread_sqlite import SqliteThread
from tests.support.builders import Core, add_users, sqlite_threads

LOST_IN = 5
"""One publish of so many is lost while the bus is bad."""
LATE_SECONDS = 0.03


class Wire:
    """What connects the buses of the nodes."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.is_bad = False
        self._bus = MemoryBus()

    async def subscribe(self, topics: Collection[str], listener: Listener) -> None:
        if self.is_bad:
            await asyncio.sleep(self.random.random() * LATE_SECONDS)
        await self._bus.subscribe(topics, listener)

    def unsubscribe(self, topics: Collection[str], listener: Listener) -> None:
        self._bus.unsubscribe(topics, listener)

    def publish(self, topic: str, payload: bytes) -> None:
        if not self.is_bad:
            self._bus.publish(topic, payload)
        elif self.random.randrange(LOST_IN):
            late = self.random.random() * LATE_SECONDS
            asyncio.get_running_loop().call_later(late, self._bus.publish, topic, payload)


class SharedBus:
    """See the port: one node's end of a wire."""

    is_shared = True
    is_connected = True

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.reconnected: Callable[[], None] | None = None

    async def subscribe(self, topics: Collection[str], listener: Listener) -> None:
        await self._wire.subscribe(topics, listener)

    def unsubscribe(self, topics: Collection[str], listener: Listener) -> None:
        self._wire.unsubscribe(topics, listener)

    def publish(self, topic: str, payload: bytes) -> None:
        self._wire.publish(topic, payload)


class SqliteFeed:
    """See the port; for nodes that share a database in one process, as only tests have them."""

    def __init__(self, writer: SqliteThread) -> None:
        self._writer = writer

    async def since(self, mark: int | None) -> tuple[int, list[Change]]:
        def read(connection: sqlite3.Connection) -> tuple[int, list[Change]]:
            (now,) = connection.execute("SELECT coalesce(max(rowid), 0) FROM ledger").fetchone()
            rows = connection.execute(
                "SELECT conversation_id, seq FROM ledger WHERE rowid > ? AND rowid <= ?"
                " AND (kind IN (3, 4, 5, 7) OR seq = 1)",
                (now if mark is None else mark, now),
            )
            return now, [Happened(*row) for row in rows]

        return await self._writer.submit(read)


class Nodes(NamedTuple):
    one: Core
    other: Core
    wire: Wire
    reconcilers: list[Reconciler]

    @property
    def both(self) -> tuple[Core, Core]:
        return self.one, self.other


@asynccontextmanager
async def two_nodes(folder: Path, *usernames: str, seed: int = 0) -> AsyncIterator[Nodes]:
    """Two nodes that run, with accounts for these users."""
    async with sqlite_threads(folder / "chatd.sqlite") as (writer, reader):
        wire = Wire(seed)
        one = Core(writer, reader, bus=SharedBus(wire))
        other = Core(writer, reader, bus=SharedBus(wire), beside=one)
        nodes = Nodes(one, other, wire, [])
        await add_users(one.users, *usernames)
        for node in nodes.both:
            await node.control.start()
            await node.presence.start()
            await node.relay.start()
            reconciler = Reconciler(
                SqliteFeed(writer),
                node.ledger,
                node.sequencer,
                node.hub,
                node.control,
                node.presence,
                node.bus,
            )
            node.journal.uncertain = reconciler.suspect
            await reconciler.start()
            nodes.reconcilers.append(reconciler)
        try:
            yield nodes
        finally:
            for node, reconciler in zip(nodes.both, nodes.reconcilers, strict=True):
                await reconciler.stop()
                await node.stop()
