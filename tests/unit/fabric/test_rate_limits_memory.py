"""chatd.fabric.rate_limits_memory: what it adds to the contract of the port."""

from chatd.clock import HandClock
from chatd.fabric.rate_limits import Rate
from chatd.fabric.rate_limits_memory import MemoryRateLimits
from tests.support.running import on_a_loop


@on_a_loop
async def test_what_was_counted_longest_ago_makes_room() -> None:
    limits, once = MemoryRateLimits(HandClock(), keys=2), Rate(1, 60.0)
    for key in ("a", "b", "c"):
        assert await limits.take(key, once) == 0
    assert len(limits) == 2
    assert await limits.take("b", once) == await limits.take("c", once) == 60
    assert await limits.take("a", once) == 0
