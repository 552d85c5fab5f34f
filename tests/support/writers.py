"""Processes that append and put: what each has of its own, on stores that they share."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from chatd.errors import BackendError
from chatd.events import Event, Message
from chatd.metrics import Metrics
from chatd.stores.batches import Batches
from chatd.stores.history_takeover import HistoryTakeover
from chatd.stores.history_writer import HistoryWriter
from chatd.stores.ledger_postgres import PostgresLedger
from chatd.stores.message_store import MessageStore, Put
from chatd.stores.pool_postgres import Postgres
from chatd.stores.unstored_rows_postgres import PostgresUnstoredRows

_POLL_SECONDS: Final = 0.005


class Obstacle:
    """A message store that can be made to fail, in front of one that does not."""

    def __init__(self, store: MessageStore) -> None:
        self._store = store
        self.failures = 0
        """So many puts from now on fail, with half of their events stored."""
        self.bug_at: int | None = None
        """The number of an event that no put survives."""
        self.open = asyncio.Event()
        """While it is not set, puts wait."""
        self.open.set()
        self.attempts = 0
        self.sizes: list[int] = []
        """Of the puts that were taken."""
        self.under_way = 0
        self.most_under_way = 0

    async def put(self, puts: Sequence[Put]) -> None:
        self.attempts += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.open.wait()
            if any(put.event.seq == self.bug_at for put in puts):
                raise ValueError("a bug")
            if self.failures:
                self.failures -= 1
                await self._store.put(puts[: len(puts) // 2])
                raise BackendError("made to fail")
            await self._store.put(puts)
            self.sizes.append(len(puts))
        finally:
            self.under_way -= 1

    async def read(
        self, conversation_id: str, *, after: int, before: int, limit: int
    ) -> list[Event]:
        return await self._store.read(conversation_id, after=after, before=before, limit=limit)

    async def messages(
        self, conversation_id: str, *, after: int, before: int, limit: int, newest: bool
    ) -> list[Message]:
        return await self._store.messages(
            conversation_id, after=after, before=before, limit=limit, newest=newest
        )

    async def posts(
        self, conversation_id: str, *, after: int, before: int, limit: int
    ) -> list[tuple[int, str]]:
        return await self._store.posts(conversation_id, after=after, before=before, limit=limit)


class Process(NamedTuple):
    """The parts of one process; its writer and its takeover were not started."""

    name: str
    postgres: Postgres
    ledger: PostgresLedger
    batches: Batches
    rows: PostgresUnstoredRows
    writer: HistoryWriter
    takeover: HistoryTakeover
    metrics: Metrics

    async def reach(self, stored: int) -> None:
        """Wait until the database says that everything up to this batch is stored."""

        async def is_reached() -> bool:
            return await self.progress() == stored

        await until_it(is_reached)

    async def progress(self) -> int | None:
        """Up to which batch the database says that everything is stored."""
        stored: int | None = await self.postgres.fetchval(
            "SELECT stored FROM writer WHERE writer = $1", self.name
        )
        return stored


async def until_it(claim: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so that must be asked for."""
    while True:
        if await claim():
            return
        await asyncio.sleep(_POLL_SECONDS)


@asynccontextmanager
async def process(
    database: str,
    store: MessageStore,
    *,
    events_in_memory: int = 20_000,
    events_unstored: int = 5_000_000,
    silent_seconds: float = 0.0,
    over_seconds: float = 0.0,
    **timings: Any,
) -> AsyncIterator[Process]:
    """A process with an id of its own. It is quick; others are silent and over at once. `timings`
    are the writer's."""
    name = uuid.uuid4().hex[:12]
    metrics = Metrics()
    postgres = await Postgres.connect(database, writer=name)
    try:
        batches = Batches(
            metrics, events_in_memory=events_in_memory, events_unstored=events_unstored
        )
        rows = PostgresUnstoredRows(postgres)
        quick = {
            "gather_seconds": 0.0,
            "first_pause_seconds": 0.001,
            "longest_pause_seconds": 0.01,
            "tick_seconds": 0.01,
        }
        writer = HistoryWriter(name, batches, rows, store, metrics, **(quick | timings))
        takeover = HistoryTakeover(
            name,
            rows,
            store,
            metrics,
            round_seconds=0.01,
            silent_seconds=silent_seconds,
            over_seconds=over_seconds,
        )
        ledger = PostgresLedger(postgres, name, batches)
        try:
            yield Process(name, postgres, ledger, batches, rows, writer, takeover, metrics)
        finally:
            await takeover.stop()
            await writer.stop(0.0)
    finally:
        await postgres.close()
