"""The in-process RateLimits. Limit: `KEYS`; at the limit what was counted longest ago is forgotten,
as if its time were over."""

from collections import OrderedDict
from typing import Final

from chatd.clock import Clock
from chatd.fabric.rate_limits import Rate

KEYS: Final = 50_000


class MemoryRateLimits:
    """See the port."""

    def __init__(self, clock: Clock, keys: int = KEYS) -> None:
        self._clock = clock
        self._limit = keys
        self._full_until: OrderedDict[str, float] = OrderedDict()
        """When all of what was taken is there again."""

    def __len__(self) -> int:
        return len(self._full_until)

    async def take(self, key: str, rate: Rate) -> float:
        now = self._clock.monotonic()
        until = max(self._full_until.get(key, now), now) + rate.seconds / rate.times
        wait = until - rate.seconds - now
        # Halves of a microsecond are the arithmetic's.
        if wait > 1e-6:
            return wait
        self._full_until[key] = until
        self._full_until.move_to_end(key)
        if len(self._full_until) > self._limit:
            self._full_until.popitem(last=False)
        return 0.0
