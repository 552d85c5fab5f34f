"""Name filters on a Redis, as the nodes of one body of data have them."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from chatd.clock import SystemClock
from chatd.fabric import name_filter_redis, name_share_redis
from chatd.fabric.client_redis import RedisClient
from chatd.fabric.name_filter import of_user
from chatd.fabric.name_filter_redis import RedisNameFilter
from chatd.metrics import Metrics
from tests.support.builders import Core, Stores, add_users, sqlite_stores
from tests.support.running import until

HEAD: Final = "chatd:names:head"
CAPACITY: Final = 400
_POLL_SECONDS: Final = 0.005


def hasten(patch: pytest.MonkeyPatch) -> None:
    """Let filters be built and mended in moments. No building waits for commits: where a test has
    any under way, it sets the time to settle."""
    patch.setattr(name_filter_redis, "TICK_SECONDS", 0.02)
    patch.setattr(name_filter_redis, "TRUST_SECONDS", 0.3)
    patch.setattr(name_filter_redis, "DISTRUST_SECONDS", 0.4)
    patch.setattr(name_filter_redis, "RENEWED_SECONDS", 0.0)
    patch.setattr(name_filter_redis, "SETTLE_SECONDS", 0.0)
    patch.setattr(name_share_redis, "BUILDING_SECONDS", 2)


class MovedClock(SystemClock):
    """Goes by itself, and can be moved on."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


class NameNode(NamedTuple):
    """What of a node has to do with names."""

    names: RedisNameFilter
    stores: Stores
    client: RedisClient
    clock: MovedClock
    metrics: Metrics

    async def built(self) -> None:
        """Wait until the absence is told of a name that nobody has."""
        for n in itertools.count():
            # Another one each time: one may be a false positive.
            if await self.names.is_absent(f"@ nobody {n}"):
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def register(self, username: str) -> None:
        async with self.names.entering(of_user(username)):
            await add_users(self.stores.users, username)

    async def knows(self, *usernames: str) -> list[bool]:
        """Of which users an absence is not told."""
        return [not await self.names.is_absent(of_user(username)) for username in usernames]


@asynccontextmanager
async def name_node(
    url: str, stores: Stores, *, capacity: int = CAPACITY, starts: bool = True
) -> AsyncIterator[NameNode]:
    """A node, started unless told otherwise."""
    client, clock, metrics = RedisClient(url), MovedClock(), Metrics()
    await client.start()
    names = RedisNameFilter(
        client, stores.users, stores.conversations, clock, metrics, capacity=capacity
    )
    if starts:
        await names.start()
    try:
        yield NameNode(names, stores, client, clock, metrics)
    finally:
        await names.stop()
        await client.close()


@asynccontextmanager
async def empty_stores(url: str, folder: Path, *usernames: str) -> AsyncIterator[Stores]:
    """A body of data with these users, and nothing in Redis."""
    client = RedisClient(url)
    await client.start()
    await client.call("FLUSHDB")
    await client.close()
    async with sqlite_stores(folder) as stores:
        await add_users(stores.users, *usernames)
        yield stores


async def head_of(node: NameNode) -> dict[str, str]:
    fields = await node.client.call("HGETALL", HEAD)
    return {name.decode(): value.decode() for name, value in fields.items()}


@asynccontextmanager
async def built_names(here: Core) -> AsyncIterator[None]:
    """While it lasts, the name filter of a core is built: of the accounts and groups that are
    there now, and those that services make."""
    await here.names.start()
    await until(lambda: here.names.is_built)
    try:
        yield
    finally:
        await here.names.stop()
