"""Port RateLimits: how often somebody may do something, counted over all nodes.

By the generic cell rate algorithm: `times` at once, and from then on one each time that a part of
`seconds` has gone by. What is refused does not count. No call fails: while the fabric is gone
everything may be done, so nothing may depend on it for safety alone.
"""

from typing import NamedTuple, Protocol


class Rate(NamedTuple):
    """At most so many `times` at once, and as many in every `seconds`."""

    times: int
    seconds: float


class RateLimits(Protocol):
    async def take(self, key: str, rate: Rate) -> float:
        """Count one of what the key may do. 0 when it may be done; else it may not, and is not
        counted: the seconds until it may."""
        ...
