"""A job queue in Redis with workers in this process: the same threads as of `chatd worker`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chatd.fabric.client_redis import RedisClient
from chatd.fabric.offline_queue import Handlers
from chatd.fabric.offline_queue_rq import RqOfflineQueue
from chatd.fabric.queue_client_redis import connect
from chatd.jobs.crew_rq import Crew
from chatd.jobs.upkeep_rq import Upkeep
from chatd.metrics import Metrics
from tests.support.redis_keys import check_keys

_STOP_SECONDS = 5


class WorkedQueue(RqOfflineQueue):
    """Its workers begin when it is started, and do not end with it."""

    def __init__(self, url: str, *, push_pause_seconds: int) -> None:
        super().__init__(url, Metrics(), push_pause_seconds=push_pause_seconds)
        self._url = url
        self._pause = push_pause_seconds
        self.crew: Crew | None = None
        self.upkeep = Upkeep(url, _nothing)

    async def start(self, handlers: Handlers) -> None:
        await super().start(handlers)
        self.crew = Crew(self._url, handlers, push_pause_seconds=self._pause)
        self.crew.start()
        self.upkeep.start()

    async def end(self) -> None:
        if self.crew is not None:
            await self.upkeep.stop()
            await self.crew.stop(_STOP_SECONDS)


@asynccontextmanager
async def worked_queue(
    url: str, *, push_pause_seconds: int = 0, empty: bool = True
) -> AsyncIterator[WorkedQueue]:
    """A queue in a database of its own, not started; its keys are those of the docs."""
    if empty:
        with connect(url) as redis:
            redis.flushdb()
    queue = WorkedQueue(url, push_pause_seconds=push_pause_seconds)
    try:
        yield queue
        client = RedisClient(url)
        await client.start()
        await check_keys(client)
        await client.close()
    finally:
        await queue.end()


async def _nothing() -> None: ...
