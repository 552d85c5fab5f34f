"""A name that was made is never told as absent: by a filter however it grew, and by nodes whatever
becomes of the Redis that they share."""

import asyncio
import itertools
import random
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.fabric import name_filter_redis as module
from chatd.fabric.name_filter import of_user
from chatd.fabric.name_layers import Layers
from tests.support.builders import Stores, sqlite_stores
from tests.support.names import NameNode, hasten, name_node
from tests.support.proxy import Proxy
from tests.support.redis_database import own_database
from tests.support.running import on_a_quick_loop
from tests.support.services import service

HEAD = "chatd:names:head"
FAULTS = 5


@given(st.lists(st.text(max_size=40)), st.integers(1, 12))
def test_a_filter_has_what_was_added(names: list[str], capacity: int) -> None:
    layers = Layers(capacity)
    for name in names:
        layers.add(name)
    assert all(name in layers for name in names)


@given(st.lists(st.text(max_size=20)), st.lists(st.text(max_size=20)), st.integers(1, 12))
def test_a_filter_has_what_others_put_into_its_layers(
    mine: list[str], theirs: list[str], capacity: int
) -> None:
    layers, copy = Layers(capacity), Layers(capacity)
    for name in mine:
        layers.add(name)
    while len(copy.layers) < len(layers.layers):
        copy.open()
    for layer, of_copy in zip(layers.layers, copy.layers, strict=True):
        of_copy.bytes[:] = layer.bytes
    for n, name in enumerate(theirs):
        copy.layers[n % len(copy.layers)].put(name)
    assert all(name in copy for name in mine + theirs)


class Town:
    """Nodes, each on its own way to the same Redis, and the users that were made."""

    def __init__(self, seed: int, stores: Stores, nodes: list[NameNode], ways: list[Proxy]) -> None:
        self.chance = random.Random(seed)
        self.stores = stores
        self.nodes = nodes
        self.ways = ways
        self.numbers = itertools.count()
        self.made: list[str] = []
        self.told_absent = 0
        self.faults = 0

    async def register(self) -> None:
        while self.faults < FAULTS:
            username = f"user{next(self.numbers)}"
            await self.chance.choice(self.nodes).register(username)
            self.made.append(username)
            for node in self.nodes:
                assert await node.knows(username) == [True], username
            await asyncio.sleep(self.chance.uniform(0, 0.1))

    async def look(self, node: NameNode) -> None:
        while True:
            made = self.chance.sample(self.made, min(len(self.made), 5))
            assert await node.knows(*made) == [True] * len(made), made
            nobody = of_user(f"nobody{self.chance.randrange(10**9)}")
            self.told_absent += await node.names.is_absent(nobody)
            await asyncio.sleep(0.002)

    async def harm(self) -> None:
        while True:
            # At times long enough for a filter to be built between them.
            await asyncio.sleep(self.chance.uniform(0.05, 1.8))
            self.faults += 1
            way = self.chance.choice(self.ways)
            client = self.chance.choice(self.nodes).client
            match self.chance.randrange(7):
                case 0 if client.is_connected:
                    await client.try_call("FLUSHDB")
                case 1 if client.is_connected:
                    for key in await client.try_call("KEYS", "chatd:names:*:*") or []:
                        await client.try_call("DEL", key)
                case 2 if client.is_connected:
                    # Back from an old dump, in another run.
                    for key in await client.try_call("KEYS", "chatd:names:*:1") or []:
                        size = await client.try_call("STRLEN", key)
                        await client.try_call("SET", key, bytes(size or 0), "KEEPTTL")
                        await client.try_call("HSET", HEAD, "run", "0" * 40)
                case 3:
                    way.cut()
                case 4:
                    way.stall_replies()
                case 5:
                    way.reset()
                case _:
                    way.stall()
            await asyncio.sleep(self.chance.uniform(0.05, 0.4))
            for way in self.ways:
                way.heal()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@on_a_quick_loop
async def test_no_node_tells_a_name_as_absent_that_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    hasten(monkeypatch)
    monkeypatch.setattr(module, "COMMIT_SECONDS", 0.4)
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.9)
    monkeypatch.setattr(module, "_STEP_SECONDS", 0.1)
    monkeypatch.setattr(module, "_ASK_SECONDS", 0.1)
    url = own_database(service("redis")["CHATD_REDIS_URL"])
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(sqlite_stores(tmp_path))
        ways = [stack.enter_context(Proxy.before(url)) for _ in range(2)]
        nodes = [
            await stack.enter_async_context(name_node(at, stores, capacity=60))
            for at in (url, *(way.url for way in ways))
        ]
        await nodes[0].client.call("FLUSHDB")
        town = Town(seed, stores, nodes, ways)
        looking = [asyncio.create_task(town.look(node)) for node in nodes]
        harming = asyncio.create_task(town.harm())
        try:
            await asyncio.gather(*(town.register() for _ in range(6)))
        finally:
            for task in (*looking, harming):
                task.cancel()
            ends = await asyncio.gather(*looking, harming, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends
        for way in ways:
            way.heal()
        for node in nodes:
            await node.built()
            assert all(await node.knows(*town.made))
        assert town.told_absent
