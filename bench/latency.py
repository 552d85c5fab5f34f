"""Latencies as exact counts of whole microseconds.

A histogram with buckets of one microsecond: recording is an append to an array while the load
runs, counting is done in C afterwards, and adding two of them up loses nothing. Recording every
delivery into an HDR histogram from Python would cost as much as receiving it.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

PERCENTILES: Final = {"p50": 0.50, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}


class Latencies:
    def __init__(self, microseconds: Iterable[int] = ()) -> None:
        self._counts = Counter(microseconds)

    def add(self, microseconds: Iterable[int]) -> None:
        self._counts.update(microseconds)

    def merge(self, other: "Latencies") -> None:
        self._counts.update(other._counts)

    def __len__(self) -> int:
        return self._counts.total()

    def percentile(self, share: float) -> int:
        """The smallest latency that at least `share` of all do not exceed. 0 if there are none."""
        wanted = share * len(self)
        reached = 0
        for latency, count in sorted(self._counts.items()):
            reached += count
            if reached >= wanted:
                return latency
        return 0

    def maximum(self) -> int:
        return max(self._counts, default=0)

    def summary_ms(self) -> dict[str, float]:
        """Percentiles and maximum in milliseconds, by name."""
        counts = {name: self.percentile(share) / 1000 for name, share in PERCENTILES.items()}
        return counts | {"max": self.maximum() / 1000}
