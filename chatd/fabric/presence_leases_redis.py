"""The PresenceLeases in Redis.

`chatd:presence:of:NAME` is a sorted set of a user's holders by the end of their leases;
`chatd:presence:ends` one of the users by the end of their last lease, for the sweep. The scripts
run whole, so two nodes never tell the same. Times are those of the nodes' clocks.
"""

from collections.abc import Sequence
from typing import Final

from chatd.clock import Clock
from chatd.fabric.client_redis import RedisClient

_OF: Final = "chatd:presence:of:"
_ENDS: Final = "chatd:presence:ends"
_KEPT_MS: Final = 24 * 3600 * 1000
"""A user's holders outlive their leases by this, so that the sweep finds them."""
_SWEPT_AT_ONCE: Final = 1_000

_RENEW: Final = """
local was = redis.call('ZCOUNT', KEYS[1], '(' .. ARGV[2], '+inf')
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('ZADD', KEYS[2], 'GT', ARGV[3], ARGV[5])
return was == 0 and 1 or 0
"""
_RELEASE: Final = """
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not ends or tonumber(ends) <= tonumber(ARGV[2]) then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
if last[2] and tonumber(last[2]) > tonumber(ARGV[2]) then
    redis.call('ZADD', KEYS[2], last[2], ARGV[3])
    return 0
end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[3])
return 1
"""
_ONLINE: Final = """
local found = {}
for i = 3, #ARGV do
    if redis.call('ZCOUNT', ARGV[1] .. ARGV[i], '(' .. ARGV[2], '+inf') > 0 then
        found[#found + 1] = ARGV[i]
    end
end
return found
"""
_SWEEP: Final = """
local gone = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[2], 'LIMIT', 0, ARGV[3])) do
    redis.call('ZREM', KEYS[1], name)
    redis.call('DEL', ARGV[1] .. name)
    gone[#gone + 1] = name
end
return gone
"""


class RedisPresenceLeases:
    """See the port."""

    def __init__(self, client: RedisClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def renew(self, username: str, holder: str, ttl_seconds: float) -> bool:
        now, ttl_ms = self._clock.now_ms(), int(ttl_seconds * 1000)
        reply = await self._client.call(
            "EVAL",
            _RENEW,
            2,
            _OF + username,
            _ENDS,
            holder,
            now,
            now + ttl_ms,
            ttl_ms + _KEPT_MS,
            username,
        )
        return bool(reply)

    async def release(self, username: str, holder: str) -> bool:
        reply = await self._client.call(
            "EVAL", _RELEASE, 2, _OF + username, _ENDS, holder, self._clock.now_ms(), username
        )
        return bool(reply)

    async def online(self, usernames: Sequence[str]) -> set[str]:
        if not usernames:
            return set()
        names: list[bytes] = await self._client.call(
            "EVAL", _ONLINE, 0, _OF, self._clock.now_ms(), *usernames
        )
        return {name.decode() for name in names}

    async def sweep(self) -> list[str]:
        names: list[bytes] = await self._client.call(
            "EVAL", _SWEEP, 1, _ENDS, _OF, self._clock.now_ms(), _SWEPT_AT_ONCE
        )
        return [name.decode() for name in names]
