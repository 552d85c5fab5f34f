"""chatd.services.shared_reads"""

import asyncio

import pytest

from chatd.errors import BackendError
from chatd.services.shared_reads import SharedReads
from tests.support.running import on_a_loop, turns


class Store:
    """Counts its reads; answers them when it is opened."""

    def __init__(self) -> None:
        self.reads = 0
        self.is_open = asyncio.Event()
        self.is_down = False

    async def read(self) -> int:
        self.reads += 1
        number = self.reads
        await self.is_open.wait()
        if self.is_down:
            raise BackendError("down")
        return number


@on_a_loop
async def test_who_asks_while_a_read_is_under_way_shares_it() -> None:
    shared, store = SharedReads[int](), Store()
    asked = [asyncio.create_task(shared.read("k", store.read)) for _ in range(5)]
    await turns()
    asked += [asyncio.create_task(shared.read("k", store.read)) for _ in range(5)]
    await turns()
    store.is_open.set()
    assert await asyncio.gather(*asked) == [1] * 10
    assert store.reads == 1


@on_a_loop
async def test_nothing_is_kept_when_it_is_done() -> None:
    shared, store = SharedReads[int](), Store()
    store.is_open.set()
    assert await shared.read("k", store.read) == 1
    assert await shared.read("k", store.read) == 2
    await turns()
    assert not shared._under_way


@on_a_loop
async def test_other_keys_are_other_reads() -> None:
    shared, store = SharedReads[int](), Store()
    store.is_open.set()
    found = await asyncio.gather(*(shared.read(n % 3, store.read) for n in range(9)))
    assert found == [1, 2, 3] * 3


@on_a_loop
async def test_a_failure_is_told_to_all_and_not_kept() -> None:
    shared, store = SharedReads[int](), Store()
    store.is_down = True
    asked = [asyncio.create_task(shared.read("k", store.read)) for _ in range(3)]
    await turns()
    store.is_open.set()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one) for one in found] == [BackendError] * 3
    store.is_down = False
    assert await shared.read("k", store.read) == 2


@on_a_loop
async def test_who_goes_takes_the_result_from_nobody() -> None:
    shared, store = SharedReads[int](), Store()
    asked = [asyncio.create_task(shared.read("k", store.read)) for _ in range(3)]
    await turns()
    asked[0].cancel()
    await turns()
    store.is_open.set()
    assert await asyncio.gather(*asked[1:]) == [1, 1]
    with pytest.raises(asyncio.CancelledError):
        await asked[0]
