"""The RateLimits in Redis: `chatd:rate:KEY` is when all of what was taken is there again, in
microseconds of the nodes' clocks, and ends then."""

from typing import Final

from chatd.clock import Clock
from chatd.fabric.client_redis import RedisClient, Script
from chatd.fabric.rate_limits import Rate

_PREFIX: Final = "chatd:rate:"

# now, one of it, all of it -> microseconds to wait
_TAKE: Final = Script("""
local now, one, all = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full = math.max(tonumber(redis.call('GET', KEYS[1])) or now, now) + one
if full - all > now then return full - all - now end
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
return 0
""")


class RedisRateLimits:
    """See the port."""

    def __init__(self, client: RedisClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def take(self, key: str, rate: Rate) -> float:
        # Of whole microseconds, the parts are never more than the whole.
        one = int(rate.seconds * 1_000_000 / rate.times)
        wait = await self._client.try_run(
            _TAKE, [_PREFIX + key], self._clock.now_ms() * 1000, one, one * rate.times
        )
        return (wait or 0) / 1_000_000
