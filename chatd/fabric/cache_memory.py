"""The in-process Cache. Limit: `entries`; at the limit what was longest not
asked for makes room."""

from collections import OrderedDict
from typing import Final

from chatd.clock import Clock
from chatd.metrics import Metrics

ENTRIES: Final = 50_000


class MemoryCache:
    def __init__(self, clock: Clock, metrics: Metrics, entries: int = ENTRIES) -> None:
        self._clock = clock
        self._metrics = metrics
        self._limit = entries
        self._entries: OrderedDict[str, tuple[bytes, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, key: str) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, expires_at = entry
        if expires_at <= self._clock.monotonic():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return value

    async def put(self, key: str, value: bytes, ttl_seconds: float) -> None:
        self._entries[key] = (value, self._clock.monotonic() + ttl_seconds)
        self._entries.move_to_end(key)
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)
        self._metrics.cache_entries = len(self._entries)

    async def drop(self, key: str) -> None:
        self._entries.pop(key, None)
        self._metrics.cache_entries = len(self._entries)
