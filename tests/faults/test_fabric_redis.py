"""Cache, rate limits and leases, when Redis is gone: what they promise then."""

import pytest

from chatd.clock import HandClock
from chatd.fabric.cache_redis import RedisCache
from chatd.fabric.client_redis import RedisClient
from chatd.fabric.presence_leases_redis import RedisPresenceLeases
from chatd.fabric.rate_limits import Rate
from chatd.fabric.rate_limits_redis import RedisRateLimits
from tests.support.proxy import Proxy
from tests.support.running import on_a_loop, until


@pytest.mark.slow
@on_a_loop
async def test_nothing_fails_and_all_of_it_works_again(redis_proxy: Proxy) -> None:
    client, clock = RedisClient(redis_proxy.url), HandClock()
    cache, limits = RedisCache(client, clock), RedisRateLimits(client, clock)
    leases, once = RedisPresenceLeases(client, clock), Rate(1, 60.0)
    await client.start()
    try:
        await client.call("FLUSHDB")
        await cache.put("k", b"1", 60)
        assert await limits.take("k", once) == 0
        assert await leases.renew("alice", "a1", 60)
        redis_proxy.stall()
        # The first finds it out.
        assert await cache.get("k") is None
        assert not client.is_connected
        await cache.put("k", b"2", 60)
        await cache.drop("k")
        assert await limits.take("k", once) == 0
        assert not await leases.renew("bob", "b1", 60) and not leases.is_known
        assert await leases.renew_all([("bob", "b1")], 60) == [] and not leases.is_known
        assert not await leases.release("alice", "a1") and not leases.is_known
        assert await leases.online(["alice"]) == set() and not leases.is_known
        assert await leases.sweep() == [] and not leases.is_known
        await leases.check()
        assert not leases.is_known
        redis_proxy.heal()
        await until(lambda: client.is_connected)
        assert await cache.get("k") == b"1"
        assert await limits.take("k", once) == 60
        assert await leases.online(["alice", "bob"]) == {"alice"} and leases.is_known
    finally:
        await client.close()


@on_a_loop
async def test_leases_say_when_they_may_have_been_lost(redis_proxy: Proxy) -> None:
    client = RedisClient(redis_proxy.url)
    leases, told = RedisPresenceLeases(client, HandClock()), list[str]()
    await client.start()
    try:
        await client.call("FLUSHDB")
        leases.restored = lambda: told.append("restored")
        for _ in range(2):
            await leases.check()
        assert told == []
        await client.call("FLUSHDB")
        await leases.check()
        assert told == ["restored"]
        redis_proxy.cut()
        await until(lambda: not client.is_connected)
        redis_proxy.heal()
        await until(lambda: client.is_connected)
        assert told == ["restored"] * 2
        await leases.check()
        assert told == ["restored"] * 2
    finally:
        await client.close()
