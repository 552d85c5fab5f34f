"""chatd.fabric.cache_memory: its limit and its count. The rest is the contract of the port."""

from chatd.clock import HandClock
from chatd.fabric.cache_memory import MemoryCache
from chatd.metrics import Metrics
from tests.support.running import on_a_loop


@on_a_loop
async def test_at_the_limit_what_was_longest_not_asked_for_makes_room() -> None:
    cache = MemoryCache(HandClock(), Metrics(), entries=3)
    for key in "abc":
        await cache.put(key, key.encode(), 60)
    await cache.get("a")
    await cache.put("d", b"d", 60)
    assert [await cache.get(key) for key in "abcd"] == [b"a", None, b"c", b"d"]
    assert len(cache) == 3


@on_a_loop
async def test_replacing_a_value_takes_no_room() -> None:
    cache = MemoryCache(HandClock(), Metrics(), entries=2)
    for key in "abab":
        await cache.put(key, key.encode(), 60)
    assert [await cache.get(key) for key in "ab"] == [b"a", b"b"]


@on_a_loop
async def test_its_size_is_a_metric() -> None:
    metrics = Metrics()
    cache = MemoryCache(HandClock(), metrics, entries=2)
    for key in "abc":
        await cache.put(key, b"", 60)
    assert metrics.cache_entries == 2
    await cache.drop("c")
    assert metrics.cache_entries == 1


@on_a_loop
async def test_what_has_expired_takes_no_room_once_it_was_asked_for() -> None:
    clock = HandClock()
    cache = MemoryCache(clock, Metrics())
    await cache.put("a", b"", 5)
    clock.advance(5)
    assert await cache.get("a") is None
    assert len(cache) == 0
