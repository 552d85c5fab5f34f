"""Tasks with an owner: kept until they end, their failures logged, cancelled together.

A TaskGroup needs a task of its own that waits for the others. For thousands of idle connections
that task would be most of their memory, so a connection has none while it is idle, and what it
starts is owned here.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from loguru import logger


class TaskOwner:
    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` as a task of this owner. An exception that it does not handle
        is logged as a bug."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def finish(self, seconds: float) -> None:
        """Wait for what runs, then cancel what still does."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        await self.cancel()

    async def cancel(self) -> None:
        """Cancel what still runs and wait for its end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("task {} failed", task.get_name())
