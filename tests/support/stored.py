"""What real backends have, behind the back of the nodes that are on them."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from chatd.stores.message_store_cassandra import CassandraMessageStore
from chatd.stores.open_cassandra import Hosts
from chatd.stores.session_cassandra import Cassandra
from tests.support.backends import Backends

_POLL_SECONDS: Final = 0.05


@asynccontextmanager
async def message_store(backends: Backends) -> AsyncIterator[CassandraMessageStore]:
    cassandra = await Cassandra.connect(Hosts([backends.settings["cassandra_hosts"]]))
    try:
        await cassandra.use(backends.keyspace)
        yield await CassandraMessageStore.prepare(cassandra)
    finally:
        await cassandra.close()


async def rows(database_url: str, statement: str, *arguments: Any) -> list[asyncpg.Record]:
    """What a statement finds in the database."""
    connection = await asyncpg.connect(database_url)
    try:
        found: list[asyncpg.Record] = await connection.fetch(statement, *arguments)
        return found
    finally:
        await connection.close()


async def undone(database_url: str, statement: str) -> list[asyncpg.Record]:
    """What a statement finds that changes something, which is undone at once."""
    connection = await asyncpg.connect(database_url)
    change = connection.transaction()
    try:
        await change.start()
        found: list[asyncpg.Record] = await connection.fetch(statement)
        return found
    finally:
        await change.rollback()
        await connection.close()


async def until_so(ask: Callable[[], Awaitable[bool]], what: str, *, seconds: float) -> None:
    """Wait for something that has to be asked for.

    Raises:
        AssertionError: it is not so within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not await ask():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(_POLL_SECONDS)
