"""Port Bus."""

from collections.abc import Callable

from chatd.fabric.bus import Bus
from tests.contracts.conftest import FabricBackend
from tests.support.running import on_a_loop, until


def listener() -> tuple[list[bytes], Callable[[bytes], None]]:
    heard: list[bytes] = []
    return heard, heard.append


async def settle(bus: Bus) -> None:
    """Wait until what was published before has been heard."""
    heard, hear = listener()
    await bus.subscribe("settle", hear)
    await bus.publish("settle", b"")
    await until(lambda: bool(heard))
    await bus.unsubscribe("settle", hear)


@on_a_loop
async def test_every_listener_of_a_topic_hears_in_order(fabric: FabricBackend) -> None:
    async with fabric.open() as (bus, _, _):
        one, hear_one = listener()
        two, hear_two = listener()
        await bus.subscribe("t", hear_one)
        await bus.subscribe("t", hear_two)
        payloads = [b"%d" % n for n in range(100)]
        for payload in payloads:
            await bus.publish("t", payload)
        await until(lambda: len(one) == len(two) == len(payloads))
        assert one == two == payloads


@on_a_loop
async def test_topics_are_apart(fabric: FabricBackend) -> None:
    async with fabric.open() as (bus, _, _):
        heard, hear = listener()
        await bus.subscribe("t", hear)
        await bus.publish("other", b"1")
        await bus.publish("t", b"2")
        await until(lambda: bool(heard))
        assert heard == [b"2"]


@on_a_loop
async def test_what_nobody_listens_to_is_gone(fabric: FabricBackend) -> None:
    async with fabric.open() as (bus, _, _):
        heard, hear = listener()
        await bus.publish("t", b"before")
        await bus.subscribe("t", hear)
        await bus.publish("t", b"after")
        await until(lambda: bool(heard))
        assert heard == [b"after"]


@on_a_loop
async def test_who_unsubscribed_hears_nothing_more(fabric: FabricBackend) -> None:
    async with fabric.open() as (bus, _, _):
        gone, hear_gone = listener()
        stays, hear_stays = listener()
        await bus.subscribe("t", hear_gone)
        await bus.subscribe("t", hear_stays)
        await bus.publish("t", b"1")
        await until(lambda: len(gone) == len(stays) == 1)
        await bus.unsubscribe("t", hear_gone)
        await bus.publish("t", b"2")
        await until(lambda: len(stays) == 2)
        await settle(bus)
        assert gone == [b"1"]
        await bus.unsubscribe("t", hear_stays)
        await bus.publish("t", b"3")
        await settle(bus)
        assert stays == [b"1", b"2"]


@on_a_loop
async def test_unsubscribing_who_never_subscribed_does_nothing(fabric: FabricBackend) -> None:
    async with fabric.open() as (bus, _, _):
        heard, hear = listener()
        _, stranger = listener()
        await bus.unsubscribe("t", stranger)
        await bus.subscribe("t", hear)
        await bus.unsubscribe("t", lambda payload: None)
        await bus.publish("t", b"1")
        await until(lambda: bool(heard))


@on_a_loop
async def test_a_listener_that_fails_does_not_take_the_others(fabric: FabricBackend) -> None:
    def fail(payload: bytes) -> None:
        raise RuntimeError("a listener's bug")

    async with fabric.open() as (bus, _, _):
        heard, hear = listener()
        await bus.subscribe("t", fail)
        await bus.subscribe("t", hear)
        await bus.publish("t", b"1")
        await bus.publish("t", b"2")
        await until(lambda: len(heard) == 2)
        assert heard == [b"1", b"2"]


@on_a_loop
async def test_a_listener_may_unsubscribe_while_it_hears(fabric: FabricBackend) -> None:
    async with fabric.open() as (bus, _, _):
        heard, hear = listener()
        once: list[bytes] = []
        await bus.subscribe("t", once.append)
        await bus.subscribe("t", hear)
        await bus.publish("t", b"1")
        await until(lambda: bool(once) and bool(heard))
        await bus.unsubscribe("t", once.append)
        await bus.publish("t", b"2")
        await until(lambda: len(heard) == 2)
        assert once == [b"1"]
