"""Commands to Redis, auto-pipelined: what one turn of the loop issues leaves in one write, and
nothing waits for the replies of the turn before.

Limits: `WAITING` commands wait for replies, and `UNSENT_BYTES` to be sent; beyond either, and while
Redis is known to be gone, a command fails at once. One that Redis does not answer fails when the
connection is given up, after about two seconds: it may have happened or not.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from hiredis import ReplyError
from loguru import logger

from chatd.errors import BackendError
from chatd.fabric.link_redis import Argument, RedisLink, RedisRefused, pack

WAITING: Final = 20_000
UNSENT_BYTES: Final = 16 * 1024 * 1024
_CLOSE_SECONDS: Final = 2.0
_WARN_SECONDS: Final = 60.0


class Script:
    """A Lua script. It is sent once to a Redis, which then knows it by its hash."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisClient:
    """See the module. `start` it before it is used, on one loop."""

    def __init__(self, url: str) -> None:
        """Raises BackendError: the URL cannot be used."""
        self._link = RedisLink(url, self, "redis")
        self._loop: asyncio.AbstractEventLoop
        self._packed: list[bytes] = []
        self._futures: list[asyncio.Future[Any]] = []
        """What this turn of the loop has issued."""
        self._unsent_bytes = 0
        self._was_lost = False
        self._warned_at = -_WARN_SECONDS
        self.came_back: list[Callable[[], None]] = []
        """Told when Redis was gone and is there again; it may have forgotten everything."""

    @property
    def is_connected(self) -> bool:
        return self._link.is_up

    async def start(self) -> None:
        """Connect.

        Raises:
            BackendError: Redis is not there, or does not let chatd in; says where and whom.
        """
        self._loop = asyncio.get_running_loop()
        await self._link.start()

    async def close(self) -> None:
        """Let what was issued be answered, then close the connection."""
        if self._link.is_up:
            last = self.call("PING")
            await asyncio.wait([last], timeout=_CLOSE_SECONDS)
            if not last.cancel():
                # It failed or not: nobody asks any more.
                last.exception()
        await self._link.close()

    def call(self, *command: Argument) -> "asyncio.Future[Any]":
        """Issue a command; the future has its reply.

        Raises:
            BackendError: Redis is gone, or too much waits. The future's: Redis answered with an
                error (RedisRefused), or not at all.
        """
        if not self._link.is_up:
            raise BackendError(f"{self._link.address} is gone")
        futures = self._futures
        unsent_bytes = self._unsent_bytes if futures else self._link.unsent_bytes
        packed = pack(command)
        unsent_bytes += len(packed)
        if len(futures) + self._link.waiting >= WAITING or unsent_bytes > UNSENT_BYTES:
            raise BackendError(f"{self._link.address} does not keep up")
        if not futures:
            self._loop.call_soon(self._flush)
        self._unsent_bytes = unsent_bytes
        reply: asyncio.Future[Any] = self._loop.create_future()
        self._packed.append(packed)
        futures.append(reply)
        return reply

    async def run(self, script: Script, keys: Sequence[str], *arguments: Argument) -> Any:
        """Run a script; its reply.

        Raises:
            BackendError: as of `call`.
        """
        try:
            return await self.call("EVALSHA", script.sha, len(keys), *keys, *arguments)
        except RedisRefused as error:
            if error.code != "NOSCRIPT":
                raise
        return await self.call("EVAL", script.text, len(keys), *keys, *arguments)

    async def info(self, section: str = "default") -> dict[str, str]:
        """What Redis says of itself.

        Raises:
            BackendError: as of `call`.
        """
        text: bytes = await self.call("INFO", section)
        rows = (line.partition(":") for line in text.decode().splitlines())
        return {name: value for name, colon, value in rows if colon}

    async def try_call(self, *command: Argument) -> Any:
        """As `call`, for what chatd can do without; None when it failed."""
        try:
            return await self.call(*command)
        except BackendError as error:
            return self._failed(error)

    async def try_run(self, script: Script, keys: Sequence[str], *arguments: Argument) -> Any:
        """As `run`, for what chatd can do without; None when it failed."""
        try:
            return await self.run(script, keys, *arguments)
        except BackendError as error:
            return self._failed(error)

    def _failed(self, error: BackendError) -> None:
        # That Redis is gone was said when it went.
        if isinstance(error, RedisRefused) and self._loop.time() > self._warned_at + _WARN_SECONDS:
            self._warned_at = self._loop.time()
            logger.warning("{} refuses commands: {}", self._link.address, error)

    def _flush(self) -> None:
        packed, futures = self._packed, self._futures
        self._packed, self._futures = [], []
        self._link.send(b"".join(packed), futures)

    # LinkOwner

    def linked(self) -> None:
        if self._was_lost:
            for tell in self.came_back:
                try:
                    tell()
                except Exception:
                    logger.exception("who waited for Redis failed")

    def lost(self) -> None:
        self._was_lost = True

    def pushed(self, push: list[Any]) -> None:
        logger.debug("Redis told unasked: {}", push)

    def refused(self, reply: ReplyError) -> None:
        logger.warning("Redis: {}", reply)
