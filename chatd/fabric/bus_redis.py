"""The Bus on Redis pub/sub: channels `chatd:bus:TOPIC`.

One connection listens. When it is lost it comes back by itself and subscribes again; what was
published meanwhile is gone, and `reconnected` is told, so that what was missed is looked up.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from loguru import logger
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from chatd.errors import BackendError
from chatd.fabric.bus import Listener
from chatd.fabric.client_redis import SECONDS, RedisClient

_PREFIX: Final = "chatd:bus:"
_RETRY_SECONDS: Final = 0.5
_LISTEN_SECONDS: Final = 10.0
"""After so long without a message the connection is looked at."""
_FAILURES: Final = (RedisError, OSError, TimeoutError)


class RedisBus:
    """See the port. `start` it before it is used."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._listeners: dict[str, list[Listener]] = {}
        self._confirmations: dict[str, asyncio.Future[None]] = {}
        self._pubsub: PubSub = client.redis.pubsub()
        self._reading: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()
        self.reconnected: Callable[[], None] | None = None

    async def start(self) -> None:
        # A channel of its own: there is always something to listen to.
        await self._subscribe("")

    async def stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        await self._pubsub.aclose()  # type: ignore[no-untyped-call]

    async def subscribe(self, topic: str, listener: Listener) -> None:
        async with self._changing:
            listeners = self._listeners.get(topic)
            if listeners is None:
                await self._subscribe(topic)
                listeners = self._listeners.setdefault(topic, [])
            listeners.append(listener)

    async def unsubscribe(self, topic: str, listener: Listener) -> None:
        async with self._changing:
            listeners = self._listeners.get(topic, [])
            if listener in listeners:
                listeners.remove(listener)
                if not listeners:
                    del self._listeners[topic]
                    try:
                        await self._pubsub.unsubscribe(_PREFIX + topic)
                    except _FAILURES as error:
                        # The connection is lost: it will not be subscribed again.
                        logger.debug("unsubscribing from {}: {}", topic, error)

    async def publish(self, topic: str, payload: bytes) -> None:
        await self._client.call("PUBLISH", _PREFIX + topic, payload)

    async def _subscribe(self, topic: str) -> None:
        """Subscribe, and wait until Redis has confirmed it."""
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._confirmations[_PREFIX + topic] = confirmed
        try:
            async with asyncio.timeout(SECONDS):
                await self._pubsub.subscribe(_PREFIX + topic)
                if self._reading is None:
                    self._reading = asyncio.get_running_loop().create_task(
                        self._read(), name="redis bus"
                    )
                await confirmed
        except _FAILURES as error:
            raise BackendError(f"Redis: {error or type(error).__name__}") from error
        finally:
            self._confirmations.pop(_PREFIX + topic, None)

    async def _read(self) -> None:
        is_lost = False
        while True:
            try:
                message = await self._pubsub.get_message(
                    ignore_subscribe_messages=False, timeout=_LISTEN_SECONDS
                )
                if is_lost and self.reconnected is not None:
                    self.reconnected()
                is_lost = False
            except _FAILURES as error:
                if not is_lost:
                    logger.warning("the bus lost Redis: {}", error)
                is_lost = True
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if message is not None:
                self._heard(message)

    def _heard(self, message: dict[str, Any]) -> None:
        channel = message["channel"].decode()
        if message["type"] == "subscribe":
            confirmed = self._confirmations.get(channel)
            if confirmed is not None and not confirmed.done():
                confirmed.set_result(None)
        elif message["type"] == "message":
            for listener in tuple(self._listeners.get(channel.removeprefix(_PREFIX), ())):
                try:
                    listener(message["data"])
                except Exception:
                    logger.exception("a listener of {} failed", channel)
