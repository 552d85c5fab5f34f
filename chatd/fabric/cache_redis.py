"""The Cache in Redis: keys `chatd:cache:KEY` with a time to live; Redis evicts at its limit."""

from typing import Final

from chatd.clock import Clock
from chatd.fabric.client_redis import RedisClient

_PREFIX: Final = "chatd:cache:"
_STAMP_BYTES: Final = 8


class RedisCache:
    """See the port. The end of an entry is kept with its value too, by the clock of the nodes."""

    def __init__(self, client: RedisClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def get(self, key: str) -> bytes | None:
        stored: bytes | None = await self._client.try_call("GET", _PREFIX + key)
        if stored is None or int.from_bytes(stored[:_STAMP_BYTES], "big") <= self._clock.now_ms():
            return None
        return stored[_STAMP_BYTES:]

    async def put(self, key: str, value: bytes, ttl_seconds: float) -> None:
        ttl_ms = max(int(ttl_seconds * 1000), 1)
        stamp = (self._clock.now_ms() + ttl_ms).to_bytes(_STAMP_BYTES, "big")
        await self._client.try_call("SET", _PREFIX + key, stamp + value, "PX", ttl_ms)

    async def drop(self, key: str) -> None:
        await self._client.try_call("DEL", _PREFIX + key)
