"""The check of the keys in Redis can fail, and the page has the keys that the code makes."""

import pytest

from chatd.clock import SystemClock
from chatd.fabric.cache_redis import RedisCache
from chatd.fabric.client_redis import RedisClient
from chatd.fabric.presence_leases_redis import RedisPresenceLeases
from chatd.fabric.rate_limits import Rate
from chatd.fabric.rate_limits_redis import RedisRateLimits
from tests.support.redis_database import own_database
from tests.support.redis_keys import check_keys
from tests.support.running import on_a_loop
from tests.support.services import service


@on_a_loop
async def test_keys_are_named_by_the_page_and_end() -> None:
    client = RedisClient(own_database(service("redis")["CHATD_REDIS_URL"]))
    await client.start()
    try:
        await client.call("FLUSHDB")
        clock = SystemClock()
        leases = RedisPresenceLeases(client, clock)
        await RedisCache(client, clock).put("profile:alice", b"", 60)
        await RedisRateLimits(client, clock).take("log in:alice", Rate(1, 60))
        await leases.renew("alice", "a1", 60)
        await leases.check()
        assert await check_keys(client) == 5
        await client.call("PERSIST", "chatd:cache:profile:alice")
        with pytest.raises(AssertionError, match="profile:alice has no time to live"):
            await check_keys(client)
        await client.call("DEL", "chatd:cache:profile:alice")
        await client.call("SET", "chatd:other", "", "EX", 60)
        with pytest.raises(AssertionError, match="chatd:other is not in the table"):
            await check_keys(client)
    finally:
        await client.call("FLUSHDB")
        await client.close()
