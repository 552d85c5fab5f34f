"""chatd.fabric.name_filter_redis, when Redis forgets, comes back with less, or is out of reach."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from chatd.errors import BackendError
from chatd.fabric import name_filter_redis as module
from chatd.fabric import name_share_redis
from chatd.fabric.client_redis import RedisClient
from chatd.fabric.name_filter import of_user
from chatd.fabric.name_layers import Layers
from chatd.stores.admission_sqlite import Admission
from chatd.stores.user_store_sqlite import SqliteUserStore
from tests.support.builders import Stores, failing, sqlite_threads
from tests.support.names import CAPACITY, HEAD, empty_stores, hasten, head_of, name_node
from tests.support.proxy import Proxy
from tests.support.redis_database import own_database
from tests.support.running import on_a_loop, turns, until
from tests.support.services import service


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> str:
    hasten(monkeypatch)
    return own_database(service("redis")["CHATD_REDIS_URL"])


async def forget_all(client: RedisClient) -> None:
    await client.call("FLUSHDB")


async def evict_a_layer(client: RedisClient) -> None:
    (layer,) = await client.call("KEYS", "chatd:names:*:1")
    assert await client.call("DEL", layer) == 1


async def bring_back_an_old_dump(client: RedisClient) -> None:
    """What was added since is not in it; Redis is another process."""
    (layer,) = await client.call("KEYS", "chatd:names:*:1")
    size = await client.call("STRLEN", layer)
    await client.call("SET", layer, bytes(size), "KEEPTTL")
    await client.call("HSET", HEAD, "run", "0" * 40)


async def cut_a_layer(client: RedisClient) -> None:
    (layer,) = await client.call("KEYS", "chatd:names:*:1")
    half = await client.call("GETRANGE", layer, 0, 9)
    await client.call("SET", layer, half, "KEEPTTL")


LOSSES = [forget_all, evict_a_layer, cut_a_layer, bring_back_an_old_dump]


@pytest.mark.parametrize("lose", LOSSES, ids=[lose.__name__ for lose in LOSSES])
@on_a_loop
async def test_what_redis_lost_is_told_as_absent_by_nobody(
    url: str, tmp_path: Path, lose: Callable[[RedisClient], Awaitable[None]]
) -> None:
    async with empty_stores(url, tmp_path, "ann") as stores, name_node(url, stores) as here:
        await here.built()
        async with name_node(url, stores) as there:
            await there.built()
            await here.register("ben")
            before = (await head_of(here))["build"]
            await lose(here.client)
            assert await there.knows("ben") == [True]
            assert await here.knows("ben", "ann") == [True, True]
            for node in (here, there):
                await node.built()
                assert await node.knows("ben", "ann", "nobody") == [True, True, False]
            assert (await head_of(here))["build"] != before


@on_a_loop
async def test_an_addition_to_what_redis_lost_voids_it(url: str, tmp_path: Path) -> None:
    async with empty_stores(url, tmp_path, "ann") as stores, name_node(url, stores) as here:
        await here.built()
        async with name_node(url, stores, starts=False) as there:
            await there.register("ben")
            await evict_a_layer(here.client)
            # With this name alone Redis makes a layer of the right size.
            layer = Layers(CAPACITY).layers[0]
            last = 8 * (layer.bytes.nbytes - 1)
            names = (of_user(f"user{n}") for n in range(9_999))
            name = next(name for name in names if max(layer.offsets(name)) >= last)
            async with there.names.entering(name):
                assert await here.knows("ben") == [True]


@pytest.mark.parametrize("fault", ["cut", "stall", "stall_replies"])
@on_a_loop
async def test_a_name_that_cannot_enter_is_told_as_absent_by_nobody(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(module, "_STEP_SECONDS", 0.1)
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.8)
    with Proxy.before(url) as proxy:
        async with empty_stores(url, tmp_path, "ann") as stores, name_node(url, stores) as here:
            await here.built()
            async with name_node(proxy.url, stores) as there:
                await there.built()
                assert await here.knows("ben", "ann") == [False, True]
                epoch = await stores.users.names_epoch()
                getattr(proxy, fault)()
                await there.register("ben")
                assert await here.knows("ben") == [True]
                assert await there.knows("ben", "nobody") == [True, True]
                assert await stores.users.names_epoch() != epoch
                await here.built()
                assert await here.knows("ben", "ann", "nobody") == [True, True, False]
                proxy.heal()
                await there.built()
                assert await there.knows("ben", "ann", "nobody") == [True, True, False]


@on_a_loop
async def test_a_node_that_does_not_hear_of_a_new_epoch_trusts_the_old_one_no_more(
    url: str, tmp_path: Path
) -> None:
    with Proxy.before(url) as proxy:
        async with empty_stores(url, tmp_path, "ann") as stores, name_node(url, stores) as here:
            async with name_node(proxy.url, stores) as there:
                await here.built()
                await here.names.stop()
                assert await here.knows("ben") == [False]
                proxy.cut()
                await until(lambda: not there.client.is_connected)
                await there.register("ben")
                # The shared filter is as it was: who could void it cannot reach it.
                assert (await head_of(here))["state"] == "complete"
                assert await here.knows("ben") == [True]


@on_a_loop
async def test_a_name_that_can_neither_enter_nor_be_told_of_is_not_made(
    url: str, tmp_path: Path
) -> None:
    with Proxy.before(url) as proxy:
        async with empty_stores(url, tmp_path, "ann") as stores:
            async with sqlite_threads(tmp_path / "chatd.sqlite") as (writer, reader):
                mine = Stores(
                    SqliteUserStore(writer, reader, Admission()),
                    stores.conversations,
                    stores.ledger,
                )
                async with name_node(proxy.url, mine) as here:
                    proxy.cut()
                    await until(lambda: not here.client.is_connected)
                    async with failing(writer, "meta"):
                        with pytest.raises(BackendError):
                            await here.register("ben")
            assert await stores.users.accounts(["ben"]) == {}


@on_a_loop
async def test_names_that_cannot_enter_share_a_new_epoch(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RENEWED_SECONDS", 20.0)
    with Proxy.before(url) as proxy:
        async with empty_stores(url, tmp_path) as stores, name_node(proxy.url, stores) as here:
            await here.built()
            proxy.cut()
            await until(lambda: not here.client.is_connected)
            epochs = set()
            for username in ("ben", "cat", "dan"):
                await here.register(username)
                epochs.add(await stores.users.names_epoch())
            assert len(epochs) == 1
            here.clock.advance(20)
            await here.register("eve")
            assert await stores.users.names_epoch() not in epochs


@on_a_loop
async def test_an_answer_that_comes_after_the_trust_is_none(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ASK_SECONDS", 9.0)
    with Proxy.before(url) as proxy:
        async with (
            empty_stores(url, tmp_path, "ann") as stores,
            name_node(proxy.url, stores) as here,
        ):
            await here.built()
            await here.names.stop()
            assert await here.knows("nobody") == [False]
            proxy.stall()
            asking = asyncio.create_task(here.knows("nobody"))
            await turns()
            here.clock.advance(module.TRUST_SECONDS)
            proxy.heal()
            assert await asking == [True]


@on_a_loop
async def test_a_building_that_failed_is_begun_anew_at_once(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_share_redis, "BUILDING_SECONDS", 30)
    async with empty_stores(url, tmp_path, "ann") as stores:
        async with sqlite_threads(tmp_path / "chatd.sqlite") as (writer, reader):
            mine = Stores(
                SqliteUserStore(writer, reader, Admission()), stores.conversations, stores.ledger
            )
            async with failing(reader, "account"), name_node(url, mine) as here:
                await until(lambda: here.names._work is not None and here.names._work.done())
            async with name_node(url, stores) as there:
                await there.built()
                assert await there.knows("ann", "nobody") == [True, False]


@on_a_loop
async def test_a_building_of_which_redis_lost_a_part_is_void(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_share_redis, "CHUNK_BYTES", 64)
    async with empty_stores(url, tmp_path) as stores:
        async with name_node(url, stores, starts=False) as here:
            shared = name_share_redis.SharedNames(here.client, CAPACITY)
            layers = shared.layers()
            for is_lost in (True, False):
                build = await shared.begin("epoch")
                assert build is not None
                sealing = asyncio.create_task(shared.seal(build, layers))
                if is_lost:
                    await turns(1)
                    await here.client.call("DEL", f"chatd:names:{build}:new")
                assert await sealing is not is_lost
            head = await shared.look("epoch")
            assert head is not None and head.is_complete and head.build == build
