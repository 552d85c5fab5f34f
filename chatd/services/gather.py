"""Numbers that only grow, gathered in memory and stored together.

What is gathered and not yet stored can be asked for, so that a reader on this node is never
behind. What was not stored when the process is killed is lost: only for things that may be a
little old after a crash.

Limit: `WAITING` keys; at the limit, which is met only when the store does not keep up, a new key is
not kept, as after a crash.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Final, Generic, TypeVar

from loguru import logger

from chatd.errors import BackendError

GATHER_SECONDS: Final = 0.25
WAITING: Final = 50_000
_RETRY_SECONDS: Final = 1.0

K = TypeVar("K", bound=Hashable)


class Gather(Generic[K]):
    def __init__(self, store: Callable[[Mapping[K, int]], Awaitable[None]], name: str) -> None:
        self._store = store
        self._name = name
        self._gathered: dict[K, int] = {}
        self._storing: dict[K, int] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._gathered) + len(self._storing)

    def put(self, key: K, value: int) -> None:
        """Store `value` under `key` soon, unless a greater one is there."""
        if value <= self._gathered.get(key, 0):
            return
        if len(self) >= WAITING and key not in self._gathered:
            return
        self._gathered[key] = value
        if self._timer is None:
            self._timer = self._loop.call_later(GATHER_SECONDS, self._begin)

    def waiting(self, key: K) -> int:
        """The value that is known here and perhaps not yet stored; 0 when there is none."""
        return max(self._gathered.get(key, 0), self._storing.get(key, 0))

    async def drain(self) -> None:
        """Store everything that was gathered. Gives up, with a log line, when the store fails."""
        if self._task is not None:
            await asyncio.wait([self._task])
        if self._gathered or self._storing:
            self._begin()
            assert self._task is not None
            await asyncio.wait([self._task])
        self._cancel_timer()
        if self._storing:
            logger.error("{} {} were not stored", len(self._storing), self._name)

    def _begin(self) -> None:
        self._cancel_timer()
        if self._task is None:
            self._task = self._loop.create_task(self._run(), name=f"gather {self._name}")

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _run(self) -> None:
        # What an earlier try could not store is tried again with what came since.
        for key, value in self._gathered.items():
            self._storing[key] = max(value, self._storing.get(key, 0))
        self._gathered = {}
        try:
            await self._store(self._storing)
            self._storing = {}
        except BackendError as error:
            logger.warning("{} wait: {}", self._name, error)
        finally:
            self._task = None
            if (self._gathered or self._storing) and self._timer is None:
                pause = _RETRY_SECONDS if self._storing else GATHER_SECONDS
                self._timer = self._loop.call_later(pause, self._begin)
