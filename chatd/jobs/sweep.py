"""Finds what was lost on the way to the job queue, or with it: members who are behind and whose
mailboxes do not say so.

Each sweep looks at the conversations that had events since a while before the last one: what the
last one found may have been lost again. Limits: `HEADS` conversations are looked at in one
statement, and between two there is a pause as long as the first took.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from loguru import logger

from chatd.clock import Clock
from chatd.errors import BackendError
from chatd.fabric.offline_queue import OfflineJob
from chatd.stores.sweep_store import SweepStore

HEADS: Final = 5_000
SETTLE_MS: Final = 10_000
"""What is younger may still be on its way."""
OVERLAP_MS: Final = 5 * 60 * 1000
BACK_MS: Final = 3 * 24 * 3600 * 1000
"""What is older is left alone, also by the first sweep: nobody is to be told of it any more."""


class Sweep:
    def __init__(
        self,
        store: SweepStore,
        put: Callable[[Sequence[OfflineJob]], Awaitable[None]],
        clock: Clock,
    ) -> None:
        """`put` puts jobs into the queue, or raises BackendError."""
        self._store = store
        self._put = put
        self._clock = clock

    async def run(self) -> None:
        """Look at everything once. What fails is left to the next sweep."""
        try:
            found = await self._look()
        except BackendError as error:
            logger.warning("the sweep for lost jobs was not finished: {}", error)
            return
        if found:
            logger.info("the sweep found {} conversations whose jobs were lost", found)

    async def _look(self) -> int:
        store, time = self._store, asyncio.get_running_loop().time
        until = self._clock.now_ms() - SETTLE_MS
        since = max(await store.swept_until() - OVERLAP_MS, until - BACK_MS)
        after: str | None = ""
        count = 0
        while after is not None:
            began = time()
            lacking, after = await store.lacking(since, until, after=after, limit=HEADS)
            if lacking:
                await self._put([OfflineJob(*one) for one in lacking])
                count += len(lacking)
            if after is not None:
                await asyncio.sleep(time() - began)
        await store.set_swept_until(until)
        return count
