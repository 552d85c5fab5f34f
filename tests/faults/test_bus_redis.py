"""chatd.fabric.bus_redis, when Redis goes and comes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chatd.fabric.bus_redis import UNSENT_BYTES, RedisBus
from chatd.metrics import Metrics
from tests.support.proxy import Proxy
from tests.support.running import on_a_loop, on_a_quick_loop, turns, until


class Node:
    """A bus that keeps what it hears."""

    def __init__(self, url: str) -> None:
        self.metrics = Metrics()
        self.bus = RedisBus(url, self.metrics)
        self.bus.reconnected = self._reconnected
        self.heard: list[str] = []
        self.reconnects = 0

    async def has_heard(self, line: str) -> None:
        await until(lambda: line in self.heard)

    async def is_back(self, times: int) -> None:
        """Until it was lost and came back so often."""
        await until(lambda: self.reconnects == times)

    def hear(self, topic: str, payload: bytes) -> None:
        self.heard.append(f"{topic} {payload.decode()}")

    def _reconnected(self) -> None:
        assert self.bus.is_connected
        self.reconnects += 1
        self.bus.publish("last", b"back")


@asynccontextmanager
async def node(url: str) -> AsyncIterator[Node]:
    made = Node(url)
    await made.bus.start()
    try:
        yield made
    finally:
        await made.bus.stop()


@on_a_loop
async def test_what_it_heard_before_a_cut_it_hears_after_it(redis_proxy: Proxy) -> None:
    async with node(redis_proxy.url) as here:
        await here.bus.subscribe(("first", "gone"), here.hear)
        redis_proxy.cut()
        await until(lambda: not here.bus.is_connected)
        here.bus.publish("first", b"nobody hears this")
        await here.bus.subscribe(("last",), here.hear)
        here.bus.unsubscribe(("gone",), here.hear)
        assert (here.metrics.bus_dropped, here.reconnects) == (1, 0)
        redis_proxy.heal()
        await until(lambda: here.heard == ["last back"])
        here.bus.publish("gone", b"1")
        here.bus.publish("first", b"2")
        await until(lambda: here.heard == ["last back", "first 2"])
        assert here.reconnects == here.metrics.bus_reconnects == 1


@pytest.mark.slow
@on_a_loop
async def test_a_stall_is_noticed_and_survived(redis_proxy: Proxy) -> None:
    async with node(redis_proxy.url) as here:
        await here.bus.subscribe(("first",), here.hear)
        redis_proxy.stall()
        await until(lambda: not here.bus.is_connected)
        # Nor does a new connection hear anything for some time.
        accepted = redis_proxy.accepted
        await until(lambda: redis_proxy.accepted > accepted)
        await here.bus.subscribe(("last",), here.hear)
        redis_proxy.heal()
        await until(lambda: here.heard == ["last back"])


@pytest.mark.slow
@on_a_loop
async def test_replies_that_do_not_come_are_a_stall_too(redis_proxy: Proxy) -> None:
    async with node(redis_proxy.url) as here:
        redis_proxy.stall_replies()
        await until(lambda: not here.bus.is_connected)
        redis_proxy.heal()
        await here.is_back(1)


@pytest.mark.slow
@on_a_loop
async def test_who_subscribes_in_a_stall_does_not_wait_for_its_end(redis_proxy: Proxy) -> None:
    async with node(redis_proxy.url) as here:
        redis_proxy.stall()
        await here.bus.subscribe(("last",), here.hear)
        assert not here.bus.is_connected
        redis_proxy.heal()
        await until(lambda: here.heard == ["last back"])


@pytest.mark.slow
@on_a_loop
async def test_who_is_slow_is_not_taken_for_gone(redis_proxy: Proxy) -> None:
    async with node(redis_proxy.url) as here:
        redis_proxy.delay(0.05)
        await here.bus.subscribe(("first",), here.hear)
        for n in range(5):
            here.bus.publish("first", b"%d" % n)
            await here.has_heard(f"first {n}")
        assert here.bus.is_connected and here.reconnects == 0


@pytest.mark.slow
@on_a_quick_loop
async def test_thousands_of_topics_are_all_heard_again_before_it_says_so(
    redis_proxy: Proxy,
) -> None:
    async with node(redis_proxy.url) as here, node(redis_proxy.url) as other:
        topics = [f"c:{n}" for n in range(20_000)]
        await here.bus.subscribe(topics, here.hear)

        def tell() -> None:
            for topic in topics:
                here.bus.publish(topic, b"")

        here.bus.reconnected = tell
        redis_proxy.reset()
        await until(lambda: len(here.heard) == len(topics))
        assert here.heard == [f"{topic} " for topic in topics]
        await until(lambda: other.bus.is_connected)


@pytest.mark.slow
@on_a_loop
async def test_what_is_published_between_nodes_that_both_came_back_is_heard(
    redis_proxy: Proxy,
) -> None:
    async with node(redis_proxy.url) as here, node(redis_proxy.url) as there:
        await there.bus.subscribe(("t",), there.hear)
        for n in range(3):
            redis_proxy.reset()
            await here.is_back(n + 1)
            await there.is_back(n + 1)
            here.bus.publish("t", b"%d" % n)
            await there.has_heard(f"t {n}")


@on_a_loop
async def test_what_is_too_much_is_dropped_and_counted(redis_url: str) -> None:
    async with node(redis_url) as here:
        await here.bus.subscribe(("t",), here.hear)
        before = here.metrics.bus_published
        payload = b"x" * 1_000_000
        for _ in range(20):
            here.bus.publish("t", payload)
        here.bus.publish("t", b"small")
        fit = UNSENT_BYTES // len(payload)
        await until(lambda: len(here.heard) == fit + 1)
        assert here.heard[-1] == "t small"
        assert here.metrics.bus_published - before == fit + 1
        assert here.metrics.bus_dropped == 20 - fit


@on_a_loop
async def test_what_was_published_before_the_stop_is_sent(redis_url: str) -> None:
    async with node(redis_url) as there:
        await there.bus.subscribe(("t",), there.hear)
        async with node(redis_url) as here:
            here.bus.publish("t", b"goodbye")
        await until(lambda: there.heard == ["t goodbye"])


@pytest.mark.slow
@on_a_loop
async def test_it_can_be_stopped_while_redis_is_gone(redis_proxy: Proxy) -> None:
    async with node(redis_proxy.url) as here:
        redis_proxy.cut()
        await until(lambda: not here.bus.is_connected)
    async with node_in_a_stall(redis_proxy) as here:
        pass
    assert not here.bus.is_connected


@asynccontextmanager
async def node_in_a_stall(proxy: Proxy) -> AsyncIterator[Node]:
    proxy.heal()
    async with node(proxy.url) as here:
        proxy.stall()
        here.bus.publish("t", b"")
        subscribing = asyncio.ensure_future(here.bus.subscribe(("t",), here.hear))
        await turns()
        yield here
        subscribing.cancel()


@on_a_loop
async def test_it_counts_what_it_publishes_and_hears(redis_url: str) -> None:
    async with node(redis_url) as here, node(redis_url) as there:
        published, heard = here.metrics.bus_published, there.metrics.bus_heard
        await there.bus.subscribe(("t",), there.hear)
        for _ in range(10):
            here.bus.publish("t", b"")
            here.bus.publish("nobody", b"")
        await until(lambda: len(there.heard) == 10)
        assert here.metrics.bus_published - published == 20
        assert there.metrics.bus_heard - heard == 10
