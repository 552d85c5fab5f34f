"""A ledger in front of a message store, which has what was appended at once."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from chatd.clock import HandClock
from chatd.metrics import Metrics
from chatd.stores.batches import Batches
from chatd.stores.ledger import Entry, Outcome
from chatd.stores.ledger_history import HistoryLedger
from chatd.stores.ledger_postgres import PostgresLedger
from chatd.stores.message_store import MessageStore
from chatd.stores.pool_postgres import Postgres
from chatd.stores.recent_events_postgres import PostgresRecentEvents
from chatd.stores.user_store import UserStore
from chatd.stores.user_store_postgres import PostgresUserStore
from tests.support.builders import NOW_MS, add_users
from tests.support.database import empty_database
from tests.support.keyspace import Keyspace

_AT_ONCE: Final = 1_000
_DAYS_MS: Final = 3 * 24 * 3600 * 1000


class PuttingLedger(HistoryLedger):
    """The message store has its events when an append is answered. With `keeps_nothing` it alone
    has them, but for those with a key, which may be repeated for a day."""

    def __init__(
        self,
        postgres: Postgres,
        store: MessageStore,
        metrics: Metrics,
        *,
        keeps_nothing: bool = False,
    ) -> None:
        self._batches = Batches(metrics)
        self._postgres = postgres
        self._keeps_nothing = keeps_nothing
        super().__init__(
            PostgresLedger(postgres, "test", self._batches),
            PostgresRecentEvents(postgres),
            store,
            HandClock(NOW_MS + (_DAYS_MS if keeps_nothing else 0)),
            metrics,
        )

    def append(self, entries: Sequence[Entry]) -> asyncio.Future[list[Outcome]]:
        appending = super().append(entries)
        return asyncio.get_running_loop().create_task(self._append_and_put(appending))

    async def _append_and_put(self, appending: asyncio.Future[list[Outcome]]) -> list[Outcome]:
        outcomes = await appending
        while group := self._batches.take(_AT_ONCE):
            await self._store.put(group.puts)
            self._batches.put(group)
            if self._keeps_nothing:
                events = [put.event for put in group.puts]
                places = [(event.conversation_id, event.seq) for event in events]
                await forget(self._postgres, places)
        return outcomes


class History(NamedTuple):
    """A ledger of which the message store has everything, and what it stands on."""

    users: UserStore
    ledger: PuttingLedger
    unput: PostgresLedger
    """The same; what is appended here is not put."""
    postgres: Postgres
    store: MessageStore
    metrics: Metrics
    place: "HistoryPlace"

    @property
    def recent(self) -> PostgresRecentEvents:
        return PostgresRecentEvents(self.postgres)

    async def without_store(self) -> HistoryLedger:
        """The ledger while the message store is away."""
        lost = await self.place.keyspace.lost_store()
        return HistoryLedger(self.unput, self.recent, lost, HandClock(NOW_MS), self.metrics)

    async def without_recent(self) -> HistoryLedger:
        """The ledger while its recent events are away."""
        lost = await Postgres.connect(self.place.database)
        await lost.close()
        return HistoryLedger(
            PostgresLedger(lost, "test"),
            PostgresRecentEvents(lost),
            self.store,
            HandClock(NOW_MS),
            self.metrics,
        )

    async def keep(self, conversation_id: str, kept: Collection[int]) -> None:
        """Only these numbers stay in the ledger."""
        head = (await self.ledger.heads([conversation_id]))[conversation_id]
        gone = [(conversation_id, seq) for seq in range(1, head + 1) if seq not in kept]
        await forget(self.postgres, gone)


class HistoryPlace(NamedTuple):
    """A database and a keyspace."""

    database: str
    keyspace: Keyspace

    @asynccontextmanager
    async def history(self, *usernames: str) -> AsyncIterator[History]:
        """An empty history, with accounts for these users."""
        async with empty_database(self.database) as postgres:
            await self.keyspace.empty()
            users, metrics = PostgresUserStore(postgres), Metrics()
            await add_users(users, *usernames)
            store = await self.keyspace.store()
            yield History(
                users,
                PuttingLedger(postgres, store, metrics),
                PostgresLedger(postgres, "unput"),
                postgres,
                store,
                metrics,
                self,
            )


async def forget(postgres: Postgres, places: Collection[tuple[str, int]]) -> None:
    """Take events out of the ledger, as if their partitions had been dropped; not those with a
    key."""
    await postgres.execute(
        "DELETE FROM ledger WHERE key IS NULL AND (conversation_id, seq) IN"
        " (SELECT * FROM unnest($1::text[], $2::bigint[]))",
        [conversation_id for conversation_id, _ in places],
        [seq for _, seq in places],
    )
