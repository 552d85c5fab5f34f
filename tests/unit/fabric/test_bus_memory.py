"""chatd.fabric.bus_memory: what it adds to the contract of the port."""

from chatd.fabric.bus_memory import MemoryBus
from tests.support.running import on_a_loop


@on_a_loop
async def test_a_listener_has_heard_when_publishing_returns() -> None:
    bus, heard = MemoryBus(), list[tuple[str, bytes]]()
    await bus.subscribe(("t",), lambda topic, payload: heard.append((topic, payload)))
    bus.publish("t", b"1")
    assert heard == [("t", b"1")]


@on_a_loop
async def test_a_listener_that_fails_is_reported(error_lines: list[str]) -> None:
    def fail(topic: str, payload: bytes) -> None:
        raise RuntimeError("a listener's bug")

    bus = MemoryBus()
    await bus.subscribe(("t",), fail)
    bus.publish("t", b"1")
    assert len(error_lines) == 1 and "a listener of t failed" in error_lines[0]
