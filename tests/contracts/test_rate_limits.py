"""Port RateLimits."""

from chatd.fabric.rate_limits import Rate
from tests.contracts.conftest import FabricBackend
from tests.support.running import on_a_loop

RATE = Rate(4, 2.0)


@on_a_loop
async def test_so_many_at_once_and_then_one_by_one(fabric: FabricBackend) -> None:
    async with fabric.open() as (*_, limits):
        assert [await limits.take("k", RATE) for _ in range(5)] == [0, 0, 0, 0, 0.5]
        await fabric.pass_time(0.25)
        assert await limits.take("k", RATE) == 0.25
        await fabric.pass_time(0.25)
        assert [await limits.take("k", RATE) for _ in range(2)] == [0, 0.5]
        await fabric.pass_time(1.0)
        assert [await limits.take("k", RATE) for _ in range(3)] == [0, 0, 0.5]


@on_a_loop
async def test_what_is_refused_does_not_count(fabric: FabricBackend) -> None:
    async with fabric.open() as (*_, limits):
        for _ in range(20):
            await limits.take("k", RATE)
        await fabric.pass_time(0.5)
        assert await limits.take("k", RATE) == 0


@on_a_loop
async def test_no_more_than_all_is_saved_up(fabric: FabricBackend) -> None:
    async with fabric.open() as (*_, limits):
        await limits.take("k", RATE)
        await fabric.pass_time(3600)
        assert [await limits.take("k", RATE) for _ in range(5)] == [0, 0, 0, 0, 0.5]


@on_a_loop
async def test_keys_are_apart(fabric: FabricBackend) -> None:
    async with fabric.open() as (*_, limits):
        once = Rate(1, 60.0)
        assert await limits.take("log in:alice", once) == 0
        assert await limits.take("log in:bob", once) == 0
        assert await limits.take("log in:alice", once) == 60


@on_a_loop
async def test_a_rate_that_divides_badly_is_kept(fabric: FabricBackend) -> None:
    async with fabric.open() as (*_, limits):
        rate = Rate(7, 1.0)
        assert [await limits.take("k", rate) for _ in range(7)] == [0] * 7
        assert await limits.take("k", rate) > 0
