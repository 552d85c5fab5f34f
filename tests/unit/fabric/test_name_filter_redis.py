"""chatd.fabric.name_filter_redis: several nodes, and what becomes of it when Redis forgets, comes
back, or cannot be reached. The rest is the contract of the port."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
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
from tests.support.builders import Stores, add_users, failing, sqlite_stores, sqlite_threads
from tests.support.names import CAPACITY, NameNode, hasten, name_node
from tests.support.proxy import Proxy
from tests.support.redis_database import own_database
from tests.support.redis_keys import check_keys
from tests.support.running import on_a_loop, turns, until
from tests.support.services import service

HEAD = "chatd:names:head"


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> str:
    hasten(monkeypatch)
    return own_database(service("redis")["CHATD_REDIS_URL"])


@asynccontextmanager
async def empty(url: str, folder: Path, *usernames: str) -> AsyncIterator[Stores]:
    """A body of data with these users, and nothing in Redis."""
    client = RedisClient(url)
    await client.start()
    await client.call("FLUSHDB")
    await client.close()
    async with sqlite_stores(folder) as stores:
        await add_users(stores.users, *usernames)
        yield stores


def test_its_times_are_those_that_it_counts_on() -> None:
    assert module.TICK_SECONDS < module.TRUST_SECONDS < module.DISTRUST_SECONDS
    waits = module.COMMIT_SECONDS + module.RENEWED_SECONDS + module.DISTRUST_SECONDS
    assert waits < module.SETTLE_SECONDS


async def head_of(node: NameNode) -> dict[str, str]:
    fields = await node.client.call("HGETALL", HEAD)
    return {name.decode(): value.decode() for name, value in fields.items()}


@on_a_loop
async def test_what_one_node_makes_is_found_by_the_others_at_once(url: str, tmp_path: Path) -> None:
    async with empty(url, tmp_path, "ann") as stores, name_node(url, stores) as here:
        await here.built()
        async with name_node(url, stores) as there:
            await there.built()
            await here.register("ben")
            assert there.names.seems_absent(of_user("ben"))
            assert await there.knows("ann", "ben", "nobody") == [True, True, False]
            # Asked once, it is in the copy.
            assert not there.names.seems_absent(of_user("ben"))
            assert await check_keys(here.client) == 2


@on_a_loop
async def test_a_node_that_starts_later_takes_the_bits_as_they_are(
    url: str, tmp_path: Path
) -> None:
    async with empty(url, tmp_path, "ann") as stores, name_node(url, stores) as here:
        await here.built()
        # Of what is not in the store nobody can have read it there.
        async with here.names.entering(of_user("ben")):
            pass
        head = await head_of(here)
        async with name_node(url, stores) as there:
            await there.built()
            assert not there.names.seems_absent(of_user("ann"))
            assert not there.names.seems_absent(of_user("ben"))
            assert there.names.seems_absent(of_user("nobody"))
        assert await head_of(here) == head
        await until(lambda: here.metrics.names_known == 2)
        assert there.metrics.names_bytes == here.metrics.names_bytes > 0


@on_a_loop
async def test_one_node_builds(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.2)
    async with empty(url, tmp_path, "ann") as stores, name_node(url, stores) as here:
        async with name_node(url, stores) as there:
            await until(lambda: here.names._head is not None and there.names._head is not None)
            head = await head_of(here)
            assert head["state"] == "building" and not here.names.is_built
            await here.built()
            await there.built()
            assert (await head_of(here))["build"] == head["build"]


@on_a_loop
async def test_a_building_that_was_left_is_begun_anew(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTLE_SECONDS", 30.0)
    async with empty(url, tmp_path, "ann") as stores:
        async with name_node(url, stores) as here:
            await until(lambda: here.names._head is not None)
        monkeypatch.setattr(module, "SETTLE_SECONDS", 0.0)
        async with name_node(url, stores) as there:
            await until(lambda: there.names._head is not None)
            left = await head_of(there)
            assert left["state"] == "building"
            assert 0 < await there.client.call("PTTL", HEAD) <= 2_000
            await there.built()
            assert (await head_of(there))["build"] != left["build"]
            assert await there.knows("ann", "nobody") == [True, False]


@on_a_loop
async def test_a_name_that_enters_while_it_is_built_is_in_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.2)
    async with empty(url, tmp_path, "ann") as stores:
        async with name_node(url, stores) as here, name_node(url, stores) as there:
            await until(lambda: here.names._head is not None and there.names._head is not None)
            # Nobody can read these in the store.
            for node, name in ((here, "ben"), (there, "cat")):
                async with node.names.entering(of_user(name)):
                    assert not node.names.is_built
            for node in (here, there):
                await node.built()
                assert await node.knows("ann", "ben", "cat", "nobody") == [True, True, True, False]
            await until(lambda: here.metrics.names_known == 3)


@on_a_loop
async def test_a_commit_that_saw_no_filter_is_read_by_the_one_that_begins_before_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.3)
    async with empty(url, tmp_path, "ann") as stores:
        async with name_node(url, stores, starts=False) as here:
            async with here.names.entering(of_user("ben")):
                async with name_node(url, stores) as there:
                    await until(lambda: there.names._head is not None)
                    await add_users(stores.users, "ben")
                    await there.built()
                    assert await there.knows("ann", "ben", "nobody") == [True, True, False]


@on_a_loop
async def test_a_commit_that_took_too_long_enters_again(url: str, tmp_path: Path) -> None:
    async with empty(url, tmp_path, "ann") as stores, name_node(url, stores) as here:
        await here.built()
        async with name_node(url, stores) as there:
            async with there.names.entering(of_user("ben")):
                there.clock.advance(module.COMMIT_SECONDS + 1)
                await here.client.call("FLUSHDB")
                assert await here.knows("ben") == [True]
                await here.built()
                assert await here.knows("ben") == [False]
                await add_users(stores.users, "ben")
            assert await here.knows("ben", "nobody") == [True, False]


@on_a_loop
async def test_it_grows_and_loses_nobody(url: str, tmp_path: Path) -> None:
    usernames = [f"user{n}" for n in range(300)]
    async with empty(url, tmp_path) as stores, name_node(url, stores, capacity=20) as here:
        await here.built()
        async with name_node(url, stores, capacity=20) as there:
            await there.built()
            for n, username in enumerate(usernames):
                node = (here, there)[n % 2]
                async with node.names.entering(of_user(username)):
                    pass
                assert await (here, there)[1 - n % 2].knows(username) == [True]
            assert (await head_of(here))["layers"] == "4"
            for node in (here, there):
                await node.built()
                assert await node.knows(*usernames) == [True] * 300
                assert await node.knows(*(f"nobody{n}" for n in range(50))) == [False] * 50


@on_a_loop
async def test_a_building_has_as_many_layers_as_it_needs(url: str, tmp_path: Path) -> None:
    usernames = [f"user{n}" for n in range(150)]
    async with empty(url, tmp_path, *usernames) as stores:
        async with name_node(url, stores, capacity=20) as here:
            await here.built()
            head = await head_of(here)
            assert head["layers"] == "4" and int(head["total"]) == pytest.approx(150, abs=3)
            async with name_node(url, stores, capacity=20) as there:
                await there.built()
                assert not any(there.names.seems_absent(of_user(name)) for name in usernames)


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
    async with empty(url, tmp_path, "ann") as stores, name_node(url, stores) as here:
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
    async with empty(url, tmp_path, "ann") as stores, name_node(url, stores) as here:
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
        async with empty(url, tmp_path, "ann") as stores, name_node(url, stores) as here:
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
        async with empty(url, tmp_path, "ann") as stores, name_node(url, stores) as here:
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
        async with empty(url, tmp_path, "ann") as stores:
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
        async with empty(url, tmp_path) as stores, name_node(proxy.url, stores) as here:
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
async def test_without_the_store_nothing_is_trusted_for_long(url: str, tmp_path: Path) -> None:
    async with empty(url, tmp_path, "ann") as stores, name_node(url, stores) as here:
        await here.built()
        assert await here.knows("nobody") == [False]
        here.clock.advance(module.TRUST_SECONDS)
        # In this turn of the loop: the next look trusts it again.
        assert not here.names.is_built
        assert not here.names.seems_absent(of_user("nobody"))


@on_a_loop
async def test_an_answer_that_comes_after_the_trust_is_none(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ASK_SECONDS", 9.0)
    with Proxy.before(url) as proxy:
        async with empty(url, tmp_path, "ann") as stores, name_node(proxy.url, stores) as here:
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
async def test_a_filter_of_another_body_of_data_is_replaced(url: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    async with empty(url, tmp_path, "ann") as stores, name_node(url, stores) as here:
        await here.built()
        await here.names.stop()
        async with sqlite_stores(tmp_path / "other") as others:
            await add_users(others.users, "ben")
            async with name_node(url, others) as there:
                await there.built()
                assert await there.knows("ann", "ben") == [False, True]


@on_a_loop
async def test_one_that_reads_other_bits_is_not_used_and_takes_no_names(
    url: str, tmp_path: Path
) -> None:
    async with empty(url, tmp_path, "ann") as stores, name_node(url, stores) as here:
        await here.built()
        async with name_node(url, stores, capacity=50) as there:
            await until(lambda: there.names._head is not None)
            assert not there.names.is_built
            assert await there.knows("nobody") == [True]
            await there.register("ben")
            assert await here.knows("ben") == [True]


@on_a_loop
async def test_a_building_that_failed_is_begun_anew_at_once(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_share_redis, "BUILDING_SECONDS", 30)
    async with empty(url, tmp_path, "ann") as stores:
        async with sqlite_threads(tmp_path / "chatd.sqlite") as (writer, reader):
            mine = Stores(
                SqliteUserStore(writer, reader, Admission()), stores.conversations, stores.ledger
            )
            async with failing(reader, "account"), name_node(url, mine) as here:
                await until(lambda: here.names._work is not None and here.names._work.done())
            async with name_node(url, stores) as there:
                await there.built()
                assert await there.knows("ann", "nobody") == [True, False]
