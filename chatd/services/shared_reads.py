"""The same read of the store, asked for while it is under way, is made once.

Whoever joins a read may get what was stored a moment before it asked, as if its request had come
that much earlier: where that matters the key must say so. Bounded by the requests under way.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SharedReads(Generic[T]):
    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Task[T]] = {}

    async def read(self, key: Hashable, read: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of `read`, or of the one with this key that is under way."""
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(read(), name="shared read")
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        # Shielded: one that goes must not take the result from the others.
        return await asyncio.shield(task)
