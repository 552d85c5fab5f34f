"""Commands to Redis, auto-pipelined: what one turn of the loop issues leaves in one round trip.

One pipeline is under way at a time; what comes meanwhile shares the next, so commands keep their
order. Limits: `WAITING` commands wait, a round trip takes at most `SECONDS`; beyond either:
BackendError, and the commands may have happened or not.
"""

import asyncio
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from chatd.errors import BackendError

WAITING: Final = 20_000
COMMANDS_A_TRIP: Final = 1_000
SECONDS: Final = 5.0

_Command = tuple[tuple[Any, ...], "asyncio.Future[Any]"]


class RedisClient:
    """See the module. Used on one loop."""

    def __init__(self, url: str) -> None:
        self.redis: Redis = Redis.from_url(
            url,
            socket_timeout=SECONDS,
            socket_connect_timeout=SECONDS,
            health_check_interval=int(SECONDS),
        )
        self._waiting: list[_Command] = []
        self._sending: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Let what waits be sent, then close the connections."""
        if self._sending is not None:
            await asyncio.wait([self._sending], timeout=SECONDS)
        await self.redis.aclose()

    def call(self, *command: Any) -> "asyncio.Future[Any]":
        """Issue a command; the future has its reply.

        Raises:
            BackendError: too many commands wait.
        """
        if len(self._waiting) >= WAITING:
            raise BackendError(f"{WAITING} Redis commands are waiting")
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((command, reply))
        if self._sending is None:
            self._sending = loop.create_task(self._send(), name="redis")
        return reply

    async def _send(self) -> None:
        # The task begins after this turn of the loop: everything that it issued is there.
        try:
            while self._waiting:
                batch = self._waiting[:COMMANDS_A_TRIP]
                del self._waiting[:COMMANDS_A_TRIP]
                await self._round_trip(batch)
        finally:
            self._sending = None

    async def _round_trip(self, batch: list[_Command]) -> None:
        pipeline = self.redis.pipeline(transaction=False)
        for command, _ in batch:
            pipeline.execute_command(*command)
        try:
            replies = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError, TimeoutError) as error:
            replies = [error] * len(batch)
        for (_, future), reply in zip(batch, replies, strict=True):
            if future.done():
                continue
            if isinstance(reply, Exception):
                failure = BackendError(f"Redis: {reply or type(reply).__name__}")
                future.set_exception(failure)
            else:
                future.set_result(reply)
