"""chatd.services.gather"""

import asyncio
from collections.abc import Mapping

import pytest

from chatd.errors import BackendError
from chatd.services import gather as module
from chatd.services.gather import Gather
from tests.support.running import on_a_loop, until


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER_SECONDS", 0)
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0)


class Store:
    """Keeps what it is given; fails while `is_down`, and waits while it is not `is_open`."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.calls = 0
        self.is_down = False
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def __call__(self, values: Mapping[str, int]) -> None:
        self.calls += 1
        given = dict(values)
        await self.is_open.wait()
        if self.is_down:
            raise BackendError("down")
        for key, value in given.items():
            self.values[key] = max(value, self.values.get(key, 0))


@on_a_loop
async def test_what_is_gathered_is_stored_soon_and_together() -> None:
    store = Store()
    gather = Gather(store, "numbers")
    gather.put("a", 1)
    gather.put("b", 5)
    gather.put("a", 3)
    gather.put("a", 2)
    assert (gather.waiting("a"), gather.waiting("b"), gather.waiting("c")) == (3, 5, 0)
    assert len(gather) == 2
    await until(lambda: bool(store.values))
    assert store.values == {"a": 3, "b": 5}
    assert store.calls == 1
    await until(lambda: len(gather) == 0)
    assert gather.waiting("a") == 0


@on_a_loop
async def test_a_number_under_way_can_be_asked_for() -> None:
    store = Store()
    store.is_open.clear()
    gather = Gather(store, "numbers")
    gather.put("a", 5)
    await until(lambda: store.calls == 1)
    gather.put("a", 4)
    gather.put("b", 1)
    assert (gather.waiting("a"), gather.waiting("b")) == (5, 1)
    store.is_open.set()
    await gather.drain()
    assert store.values == {"a": 5, "b": 1}


@on_a_loop
async def test_a_store_that_failed_is_tried_again_with_what_came_since() -> None:
    store = Store()
    store.is_down = True
    gather = Gather(store, "numbers")
    gather.put("a", 5)
    gather.put("b", 2)
    await until(lambda: store.calls >= 2)
    gather.put("a", 4)
    gather.put("c", 9)
    assert gather.waiting("a") == 5
    store.is_down = False
    await until(lambda: len(store.values) == 3)
    assert store.values == {"a": 5, "b": 2, "c": 9}


@on_a_loop
async def test_draining_stores_everything() -> None:
    store = Store()
    gather = Gather(store, "numbers")
    await gather.drain()
    gather.put("a", 1)
    await gather.drain()
    assert store.values == {"a": 1}
    assert len(gather) == 0


@on_a_loop
async def test_draining_gives_up_when_the_store_fails(error_lines: list[str]) -> None:
    store = Store()
    store.is_down = True
    gather = Gather(store, "numbers")
    gather.put("a", 1)
    await gather.drain()
    assert store.values == {}
    assert error_lines == ["1 numbers were not stored\n"]


@on_a_loop
async def test_draining_tries_again_what_could_not_be_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 3_600)
    store = Store()
    store.is_down = True
    gather = Gather(store, "numbers")
    gather.put("a", 1)
    await until(lambda: store.calls == 1)
    store.is_down = False
    await gather.drain()
    assert store.values == {"a": 1}


@on_a_loop
async def test_at_the_limit_only_known_keys_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING", 2)
    gather = Gather(Store(), "numbers")
    gather.put("a", 1)
    gather.put("b", 1)
    gather.put("c", 1)
    gather.put("a", 2)
    assert len(gather) == 2
    assert (gather.waiting("a"), gather.waiting("c")) == (2, 0)
    await gather.drain()
