"""What is read while PostgreSQL is away, and who uses a session that it has ended."""

import asyncio
from typing import Final

import pytest

from chatd.clock import HandClock
from chatd.delivery.pages import Pages
from chatd.errors import BackendError
from chatd.metrics import Metrics
from chatd.stores.ledger_history import HistoryLedger
from chatd.stores.ledger_postgres import PostgresLedger
from chatd.stores.message_store import MessageStore
from chatd.stores.pool_postgres import Postgres
from chatd.stores.recent_events_postgres import PostgresRecentEvents
from tests.support.builders import NOW_MS, append, direct
from tests.support.history import HistoryPlace
from tests.support.keyspace import Keyspace
from tests.support.proxy import Proxy
from tests.support.running import on_a_loop
from tests.support.services import postgres_database
from tests.support.stored import rows, until_so

CHAT: Final = "alice-bob"
PUT: Final = 3
HEAD: Final = 5
SECONDS: Final = 10.0
LINGER_SECONDS: Final = 0.5


@pytest.fixture
def stores(keyspace: Keyspace) -> HistoryPlace:
    return HistoryPlace(postgres_database(), keyspace)


def ledger_on(postgres: Postgres, store: MessageStore) -> HistoryLedger:
    return HistoryLedger(
        PostgresLedger(postgres, "test"),
        PostgresRecentEvents(postgres),
        store,
        HandClock(NOW_MS),
        Metrics(),
    )


@pytest.mark.slow
@on_a_loop
async def test_what_is_not_put_yet_is_not_taken_for_missing(stores: HistoryPlace) -> None:
    async with stores.history("alice", "bob") as here:
        for number in range(HEAD):
            ledger = here.ledger if number < PUT else here.unput
            await append(ledger, direct("alice", "bob", f"{number}"))
        with Proxy.before(stores.database) as proxy:
            postgres = await Postgres.connect(proxy.url)
            try:
                pages = Pages(ledger_on(postgres, here.store), Metrics())
                proxy.cut()
                up_to, frames = await pages.after(CHAT, 0, PUT)
                assert (up_to, len([*frames])) == (PUT, PUT), "what is put can be read"
                with pytest.raises(BackendError):
                    await pages.after(CHAT, 0, HEAD)
                with pytest.raises(BackendError):
                    await pages.after(CHAT, PUT, HEAD)
                proxy.heal()
                # And nothing was remembered that was not so.
                for after in (0, PUT):
                    up_to, frames = await pages.after(CHAT, after, HEAD)
                    assert [frame.event.seq for frame in frames] == [*range(after + 1, HEAD + 1)]
            finally:
                await postgres.close()


class Lingering(Proxy):
    """A service that ends a connection says so; the end of the stream comes later."""

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_open: asyncio.Event
    ) -> None:
        await super()._pump(reader, writer, is_open)
        if is_open is self._replies:
            await asyncio.sleep(LINGER_SECONDS)


@pytest.mark.slow
@on_a_loop
async def test_a_session_that_was_told_its_end_is_a_lost_one(stores: HistoryPlace) -> None:
    with Lingering.before(stores.database) as proxy:
        postgres = await Postgres.connect(proxy.url, writer="doomed")
        try:
            pid = await postgres.fetchval("SELECT pg_backend_pid()")
            await rows(stores.database, f"SELECT pg_terminate_backend({pid}, 10000)")

            async def has_another() -> bool:
                try:
                    return bool(await postgres.fetchval("SELECT pg_backend_pid()") != pid)
                except BackendError as error:
                    failed.append(str(error))
                    return False

            failed: list[str] = []
            await until_so(has_another, "another session is used", seconds=SECONDS)
            assert failed, "the session that was ended was used once more"
        finally:
            await postgres.close()
