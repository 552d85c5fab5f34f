"""Port Cache."""

from tests.contracts.conftest import FabricBackend
from tests.support.running import on_a_loop


@on_a_loop
async def test_what_was_put_is_there(fabric: FabricBackend) -> None:
    async with fabric.open() as (_, cache, *_):
        assert await cache.get("k") is None
        await cache.put("k", b"\x00value\xff", 60)
        await cache.put("empty", b"", 60)
        assert await cache.get("k") == b"\x00value\xff"
        assert await cache.get("empty") == b""
        assert await cache.get("K") is None


@on_a_loop
async def test_a_value_is_replaced_with_its_time(fabric: FabricBackend) -> None:
    async with fabric.open() as (_, cache, *_):
        await cache.put("k", b"first", 10)
        await cache.put("k", b"second", 60)
        await fabric.pass_time(11)
        assert await cache.get("k") == b"second"
        await cache.put("k", b"third", 1)
        await fabric.pass_time(2)
        assert await cache.get("k") is None


@on_a_loop
async def test_a_value_ends_with_its_time(fabric: FabricBackend) -> None:
    async with fabric.open() as (_, cache, *_):
        await cache.put("short", b"1", 10)
        await cache.put("long", b"2", 30)
        await fabric.pass_time(9)
        assert await cache.get("short") == b"1"
        await fabric.pass_time(2)
        assert await cache.get("short") is None
        assert await cache.get("long") == b"2"


@on_a_loop
async def test_asking_does_not_make_a_value_last_longer(fabric: FabricBackend) -> None:
    async with fabric.open() as (_, cache, *_):
        await cache.put("k", b"1", 10)
        for _ in range(6):
            await fabric.pass_time(2)
            await cache.get("k")
        assert await cache.get("k") is None


@on_a_loop
async def test_a_dropped_key_is_forgotten(fabric: FabricBackend) -> None:
    async with fabric.open() as (_, cache, *_):
        await cache.put("k", b"1", 10)
        await cache.put("l", b"2", 10)
        await cache.drop("k")
        await cache.drop("never there")
        assert await cache.get("k") is None
        assert await cache.get("l") == b"2"
