"""Port Bus."""

from chatd.fabric.bus import Bus, Listener
from tests.contracts.conftest import FabricBackend
from tests.support.running import on_a_loop, on_a_quick_loop, until


def listener() -> tuple[list[bytes], Listener]:
    heard: list[bytes] = []
    return heard, lambda _, payload: heard.append(payload)


async def settle(bus: Bus) -> None:
    """Wait until what was published before has been heard."""
    heard, hear = listener()
    await bus.subscribe(("settle",), hear)
    bus.publish("settle", b"")
    await until(lambda: bool(heard))
    bus.unsubscribe(("settle",), hear)


@on_a_loop
async def test_every_listener_of_a_topic_hears_in_order(fabric: FabricBackend) -> None:
    async with fabric.open() as (bus, *_):
        one, hear_one = listener()
        two, hear_two = listener()
        await bus.subscribe(("t",), hear_one)
        await bus.subscribe(("t",), hear_two)
        payloads = [b"%d" % n for n in range(100)]
        for payload in payloads:
            bus.publish("t", payload)
        await until(lambda: len(one) == len(two) == len(payloads))
        assert one == two == payloads


@on_a_loop
async def test_topics_are_apart_and_named(fabric: FabricBackend) -> None:
    async with fabric.open() as (bus, *_):
        heard: list[tuple[str, bytes]] = []
        await bus.subscribe(["c:alice-bob", "u:ü", ""], lambda *told: heard.append(told))
        for topic in ("c:alice", "u:ü", "c:alice-bob-", "", "c:alice-bob"):
            bus.publish(topic, b"to " + topic.encode())
        await until(lambda: len(heard) == 3)
        assert heard == [
            ("u:ü", "to u:ü".encode()),
            ("", b"to "),
            ("c:alice-bob", b"to c:alice-bob"),
        ]


@on_a_loop
async def test_payloads_are_any_bytes(fabric: FabricBackend) -> None:
    async with fabric.open() as (bus, *_):
        heard, hear = listener()
        await bus.subscribe(("t",), hear)
        payloads = [b"", b"\r\n", bytes(range(256)), b"x" * 1_000_000]
        for payload in payloads:
            bus.publish("t", payload)
        await until(lambda: len(heard) == len(payloads))
        assert heard == payloads


@on_a_loop
async def test_what_nobody_listens_to_is_gone(fabric: FabricBackend) -> None:
    async with fabric.open() as (bus, *_):
        heard, hear = listener()
        bus.publish("t", b"before")
        await bus.subscribe(("t",), hear)
        bus.publish("t", b"after")
        await until(lambda: bool(heard))
        assert heard == [b"after"]


@on_a_loop
async def test_who_unsubscribed_hears_nothing_more(fabric: FabricBackend) -> None:
    async with fabric.open() as (bus, *_):
        gone, hear_gone = listener()
        stays, hear_stays = listener()
        await bus.subscribe(("t", "other"), hear_gone)
        await bus.subscribe(("t",), hear_stays)
        bus.publish("t", b"1")
        await until(lambda: len(gone) == len(stays) == 1)
        bus.unsubscribe(("t",), hear_gone)
        bus.publish("t", b"2")
        await until(lambda: len(stays) == 2)
        await settle(bus)
        assert gone == [b"1"]
        bus.unsubscribe(("t",), hear_stays)
        bus.publish("t", b"3")
        bus.publish("other", b"4")
        await settle(bus)
        assert stays == [b"1", b"2"]
        assert gone == [b"1", b"4"]


@on_a_loop
async def test_who_comes_back_hears_again(fabric: FabricBackend) -> None:
    async with fabric.open() as (bus, *_):
        heard, hear = listener()
        for n in range(5):
            await bus.subscribe(("t",), hear)
            bus.publish("t", b"%d" % n)
            await settle(bus)
            bus.unsubscribe(("t",), hear)
            if n % 2:
                # And without a turn in between.
                await bus.subscribe(("t",), hear)
                bus.unsubscribe(("t",), hear)
        bus.publish("t", b"gone")
        await settle(bus)
        assert heard == [b"0", b"1", b"2", b"3", b"4"]


@on_a_loop
async def test_unsubscribing_who_never_subscribed_does_nothing(fabric: FabricBackend) -> None:
    async with fabric.open() as (bus, *_):
        heard, hear = listener()
        _, stranger = listener()
        bus.unsubscribe(("t",), stranger)
        await bus.subscribe(("t",), hear)
        bus.unsubscribe(("t", "other"), stranger)
        bus.publish("t", b"1")
        await until(lambda: bool(heard))


@on_a_loop
async def test_a_listener_that_fails_does_not_take_the_others(fabric: FabricBackend) -> None:
    def fail(topic: str, payload: bytes) -> None:
        raise RuntimeError("a listener's bug")

    async with fabric.open() as (bus, *_):
        heard, hear = listener()
        await bus.subscribe(("t",), fail)
        await bus.subscribe(("t",), hear)
        bus.publish("t", b"1")
        bus.publish("t", b"2")
        await until(lambda: len(heard) == 2)
        assert heard == [b"1", b"2"]


@on_a_loop
async def test_a_listener_may_unsubscribe_while_it_hears(fabric: FabricBackend) -> None:
    async with fabric.open() as (bus, *_):
        heard, hear = listener()
        once: list[bytes] = []

        def hear_once(topic: str, payload: bytes) -> None:
            once.append(payload)
            bus.unsubscribe((topic,), hear_once)

        await bus.subscribe(("t",), hear_once)
        await bus.subscribe(("t",), hear)
        bus.publish("t", b"1")
        bus.publish("t", b"2")
        await until(lambda: len(heard) == 2)
        assert once == [b"1"]


@on_a_quick_loop
async def test_thousands_of_topics_are_heard_once_each(fabric: FabricBackend) -> None:
    async with fabric.open() as (bus, *_):
        heard: list[str] = []

        def hear(topic: str, payload: bytes) -> None:
            heard.append(topic)

        topics = [f"c:{n}" for n in range(5_000)]
        await bus.subscribe(topics, hear)
        await bus.subscribe((), hear)
        bus.unsubscribe(topics[::2], hear)
        for topic in topics:
            bus.publish(topic, b"")
        await until(lambda: len(heard) == len(topics) // 2)
        await settle(bus)
        assert heard == topics[1::2]


@on_a_loop
async def test_a_bus_that_was_not_lost_is_connected(fabric: FabricBackend) -> None:
    async with fabric.open() as (bus, *_):
        told: list[None] = []
        bus.reconnected = lambda: told.append(None)
        await settle(bus)
        assert bus.is_connected
        assert told == []
