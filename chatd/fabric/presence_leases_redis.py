"""The PresenceLeases in Redis.

`chatd:presence:of:NAME` is a sorted set of a user's holders by the end of their leases;
`chatd:presence:ends` one of the users by the end of their last lease, for the sweep;
`chatd:presence:epoch` a random word that is another one when Redis has forgotten everything. The
scripts run whole, so two nodes never tell the same. Times are those of the nodes' clocks.
"""

import secrets
from collections.abc import Callable, Sequence
from typing import Final

from chatd.clock import Clock
from chatd.fabric.client_redis import RedisClient, Script

_OF: Final = "chatd:presence:of:"
_ENDS: Final = "chatd:presence:ends"
_EPOCH: Final = "chatd:presence:epoch"
_KEPT_MS: Final = 24 * 3600 * 1000
"""Keys outlive the last lease by this, so that the sweep finds them."""
_SWEPT_AT_ONCE: Final = 1_000
_SWEEPS: Final = 10
"""Scripts that one sweep runs at most."""

_RENEW: Final = Script("""
local came = {}
for i = 5, #ARGV, 2 do
    local holders = ARGV[1] .. ARGV[i]
    redis.call('ZREMRANGEBYSCORE', holders, '-inf', ARGV[2])
    if redis.call('ZCARD', holders) == 0 then came[#came + 1] = ARGV[i] end
    redis.call('ZADD', holders, ARGV[3], ARGV[i + 1])
    redis.call('PEXPIRE', holders, ARGV[4])
    redis.call('ZADD', KEYS[1], 'GT', ARGV[3], ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return came
""")
_RELEASE: Final = Script("""
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
""")
_ONLINE: Final = Script("""
local found = {}
for i = 3, #ARGV do
    if redis.call('ZCOUNT', ARGV[1] .. ARGV[i], '(' .. ARGV[2], '+inf') > 0 then
        found[#found + 1] = ARGV[i]
    end
end
return found
""")
_SWEEP: Final = Script("""
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[2], 'LIMIT', 0, ARGV[3])
for _, name in ipairs(gone) do
    redis.call('ZREM', KEYS[1], name)
    redis.call('DEL', ARGV[1] .. name)
end
return gone
""")
_CHECK: Final = Script("""
local epoch = redis.call('GET', KEYS[1]) or ARGV[1]
redis.call('SET', KEYS[1], epoch, 'PX', ARGV[2])
return epoch
""")


class RedisPresenceLeases:
    """See the port."""

    def __init__(self, client: RedisClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._epoch: bytes | None = None
        """The word that Redis had at the last check."""
        self.is_known = True
        self.restored: Callable[[], None] | None = None
        client.came_back.append(self._restored)

    async def renew(self, username: str, holder: str, ttl_seconds: float) -> bool:
        return bool(await self.renew_all([(username, holder)], ttl_seconds))

    async def renew_all(self, leases: Sequence[tuple[str, str]], ttl_seconds: float) -> list[str]:
        if not leases:
            return []
        now, ttl_ms = self._clock.now_ms(), int(ttl_seconds * 1000)
        times = now, now + ttl_ms, ttl_ms + _KEPT_MS
        flat = [word for lease in leases for word in lease]
        return self._names(await self._client.try_run(_RENEW, [_ENDS], _OF, *times, *flat))

    async def release(self, username: str, holder: str) -> bool:
        was_last = await self._client.try_run(
            _RELEASE, [_OF + username, _ENDS], holder, self._clock.now_ms(), username
        )
        self.is_known = was_last is not None
        return bool(was_last)

    async def online(self, usernames: Sequence[str]) -> set[str]:
        if not usernames:
            return set()
        now = self._clock.now_ms()
        return set(self._names(await self._client.try_run(_ONLINE, [], _OF, now, *usernames)))

    async def sweep(self) -> list[str]:
        gone: list[str] = []
        for _ in range(_SWEEPS):
            some = self._names(
                await self._client.try_run(
                    _SWEEP, [_ENDS], _OF, self._clock.now_ms(), _SWEPT_AT_ONCE
                )
            )
            gone += some
            if len(some) < _SWEPT_AT_ONCE:
                break
        return gone

    async def check(self) -> None:
        epoch = await self._client.try_run(_CHECK, [_EPOCH], secrets.token_hex(8), _KEPT_MS)
        self.is_known = epoch is not None
        before, self._epoch = self._epoch, epoch or self._epoch
        if before is not None and before != self._epoch:
            self._restored()

    def _names(self, reply: list[bytes] | None) -> list[str]:
        self.is_known = reply is not None
        return [name.decode() for name in reply or ()]

    def _restored(self) -> None:
        if self.restored is not None:
            self.restored()
