"""chatd.fabric.name_filter_redis: several nodes. The rest is the contract of the port."""

from pathlib import Path

import pytest

from chatd.fabric import name_filter_redis as module
from chatd.fabric.name_filter import of_user
from tests.support.builders import add_users, sqlite_stores
from tests.support.names import HEAD, empty_stores, hasten, head_of, name_node
from tests.support.redis_database import own_database
from tests.support.redis_keys import check_keys
from tests.support.running import on_a_loop, until
from tests.support.services import service


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> str:
    hasten(monkeypatch)
    return own_database(service("redis")["CHATD_REDIS_URL"])


def test_its_times_are_those_that_it_counts_on() -> None:
    assert module.TICK_SECONDS < module.TRUST_SECONDS < module.DISTRUST_SECONDS
    waits = module.COMMIT_SECONDS + module.RENEWED_SECONDS + module.DISTRUST_SECONDS
    assert waits < module.SETTLE_SECONDS


@on_a_loop
async def test_what_one_node_makes_is_found_by_the_others_at_once(url: str, tmp_path: Path) -> None:
    async with empty_stores(url, tmp_path, "ann") as stores, name_node(url, stores) as here:
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
    async with empty_stores(url, tmp_path, "ann") as stores, name_node(url, stores) as here:
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
    async with empty_stores(url, tmp_path, "ann") as stores, name_node(url, stores) as here:
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
    async with empty_stores(url, tmp_path, "ann") as stores:
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
    async with empty_stores(url, tmp_path, "ann") as stores:
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
    async with empty_stores(url, tmp_path, "ann") as stores:
        async with name_node(url, stores, starts=False) as here:
            async with here.names.entering(of_user("ben")):
                async with name_node(url, stores) as there:
                    await until(lambda: there.names._head is not None)
                    await add_users(stores.users, "ben")
                    await there.built()
                    assert await there.knows("ann", "ben", "nobody") == [True, True, False]


@on_a_loop
async def test_a_commit_that_took_too_long_enters_again(url: str, tmp_path: Path) -> None:
    async with empty_stores(url, tmp_path, "ann") as stores, name_node(url, stores) as here:
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
    async with empty_stores(url, tmp_path) as stores, name_node(url, stores, capacity=20) as here:
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
    async with empty_stores(url, tmp_path, *usernames) as stores:
        async with name_node(url, stores, capacity=20) as here:
            await here.built()
            head = await head_of(here)
            assert head["layers"] == "4" and int(head["total"]) == pytest.approx(150, abs=3)
            async with name_node(url, stores, capacity=20) as there:
                await there.built()
                assert not any(there.names.seems_absent(of_user(name)) for name in usernames)


@on_a_loop
async def test_without_the_store_nothing_is_trusted_for_long(url: str, tmp_path: Path) -> None:
    async with empty_stores(url, tmp_path, "ann") as stores, name_node(url, stores) as here:
        await here.built()
        assert await here.knows("nobody") == [False]
        here.clock.advance(module.TRUST_SECONDS)
        # In this turn of the loop: the next look trusts it again.
        assert not here.names.is_built
        assert not here.names.seems_absent(of_user("nobody"))


@on_a_loop
async def test_a_filter_of_another_body_of_data_is_replaced(url: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    async with empty_stores(url, tmp_path, "ann") as stores, name_node(url, stores) as here:
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
    async with empty_stores(url, tmp_path, "ann") as stores, name_node(url, stores) as here:
        await here.built()
        async with name_node(url, stores, capacity=50) as there:
            await until(lambda: there.names._head is not None)
            assert not there.names.is_built
            assert await there.knows("nobody") == [True]
            await there.register("ben")
            assert await here.knows("ben") == [True]
