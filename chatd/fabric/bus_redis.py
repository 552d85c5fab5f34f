"""The Bus on Redis pub/sub: channels `chatd:bus:DATABASE:TOPIC`, for channels know no databases.

One connection publishes and hears (RESP3), so a turn's publishes are one write, and their replies
come with what is heard. Redis is told what to hear in batches of `BATCH`, of which at most about
`UNCONFIRMED` channels are on their way. When the connection was lost and is back, every topic is
subscribed again; then the bus is connected, and `reconnected` is told.

Limit: `UNSENT_BYTES` wait to be sent. Beyond it, and while there is no connection, payloads are
dropped and counted.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from itertools import repeat
from typing import Any, Final

from hiredis import ReplyError
from loguru import logger

from chatd.errors import BackendError
from chatd.fabric.bus import Listener
from chatd.fabric.link_redis import RedisLink, pack
from chatd.metrics import Metrics

BATCH: Final = 500
UNCONFIRMED: Final = 2_000
UNSENT_BYTES: Final = 8 * 1024 * 1024
CONFIRM_SECONDS: Final = 5.0
"""A connection on which nothing is confirmed for so long is given up."""
_STOP_SECONDS: Final = 1.0
_WARN_SECONDS: Final = 60.0
_MESSAGE: Final = b"message"
_CHECK: Final = "check"
"""A topic on which a bus that starts hears itself."""


class _Waiting:
    """Somebody who waits for topics to be settled."""

    __slots__ = ("done", "left")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.left = 0
        self.done: asyncio.Future[None] = loop.create_future()

    def settled(self) -> None:
        self.left -= 1
        if not self.left and not self.done.done():
            self.done.set_result(None)


class _Topic:
    __slots__ = ("channel", "is_asked", "is_queued", "listeners", "name", "pending", "waiting")

    def __init__(self, name: str, channel: bytes) -> None:
        self.name = name
        self.channel = channel
        self.listeners: tuple[Listener, ...] = ()
        self.is_asked = False
        """Whether Redis was last told to send it on this connection."""
        self.pending = 0
        """How often it was told something that it has not confirmed."""
        self.is_queued = False
        self.waiting: tuple[_Waiting, ...] = ()

    def settle(self) -> None:
        """It is heard, or nobody wants that any more, or there is no connection."""
        waiting, self.waiting = self.waiting, ()
        for one in waiting:
            one.settled()


class RedisBus:
    """See the port and the module. `start` it before it is used, on one loop."""

    is_shared = True

    def __init__(self, url: str, metrics: Metrics) -> None:
        """Raises BackendError: the URL cannot be used."""
        self._link = RedisLink(url, self, "bus")
        self._prefix = f"chatd:bus:{self._link.address.database}:".encode()
        self._metrics = metrics
        self._loop: asyncio.AbstractEventLoop
        self._topics: dict[bytes, _Topic] = {}
        """By channel: those with listeners, and those of which Redis has yet to hear."""
        self._queue: deque[_Topic] = deque()
        """Those of which Redis is to be told."""
        self._unconfirmed = 0
        self._confirmed = 0
        self._watch: asyncio.TimerHandle | None = None
        self._resuming: _Waiting | None = None
        """While topics are subscribed again."""
        self._out: list[bytes] = []
        self._unsent_bytes = 0
        self._is_flushing = False
        self._refusal = ""
        """What Redis last answered instead of doing it."""
        self._is_checked = asyncio.Event()
        """A bus that starts has heard itself, or will not."""
        self._was_lost = False
        self._warned_at = -_WARN_SECONDS
        self.is_connected = False
        self.reconnected: Callable[[], None] | None = None

    async def start(self) -> None:
        """Connect, and hear something.

        Raises:
            BackendError: Redis is not there, does not let chatd in, or does not let it publish or
                subscribe; says where and whom.
        """
        self._loop = asyncio.get_running_loop()
        await self._link.start()
        heard: list[bytes] = []

        def hear(_: str, payload: bytes) -> None:
            heard.append(payload)
            self._is_checked.set()

        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                await self.subscribe((_CHECK,), hear)
                self.publish(_CHECK, b"")
                await self._is_checked.wait()
        except TimeoutError:
            pass
        if not heard:
            await self._link.close()
            reason = self._refusal or "what is published is not heard"
            raise BackendError(self._link.reason or f"{self._link.address}: {reason}")
        self.unsubscribe((_CHECK,), hear)

    async def stop(self) -> None:
        """Send what was published, and hear nothing more."""
        self._flush()
        if self._link.is_up:
            last: asyncio.Future[Any] = self._loop.create_future()
            self._link.send(pack(("PING",)), (last,))
            await asyncio.wait([last], timeout=_STOP_SECONDS)
            if not last.cancel():
                # It failed or not: nobody asks any more.
                last.exception()
        self.is_connected = False
        self._stop_watching()
        await self._link.close()

    async def subscribe(self, topics: Collection[str], listener: Listener) -> None:
        waiting = _Waiting(self._loop)
        for name in topics:
            channel = self._prefix + name.encode()
            topic = self._topics.get(channel)
            if topic is None:
                topic = self._topics[channel] = _Topic(name, channel)
            topic.listeners += (listener,)
            if self._link.is_up and not (topic.is_asked and topic.pending == 0):
                topic.waiting += (waiting,)
                waiting.left += 1
                self._to_be_told(topic)
        if waiting.left:
            await waiting.done

    def unsubscribe(self, topics: Collection[str], listener: Listener) -> None:
        for name in topics:
            channel = self._prefix + name.encode()
            topic = self._topics.get(channel)
            if topic is None or listener not in topic.listeners:
                continue
            at = topic.listeners.index(listener)
            topic.listeners = topic.listeners[:at] + topic.listeners[at + 1 :]
            if not topic.listeners:
                if self._link.is_up:
                    self._to_be_told(topic)
                else:
                    del self._topics[channel]

    def publish(self, topic: str, payload: bytes) -> None:
        if not self._link.is_up:
            self._metrics.bus_dropped += 1
            return
        channel = self._prefix + topic.encode()
        # As `pack` would, in half its time.
        command = b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (
            len(channel),
            channel,
            len(payload),
            payload,
        )
        if not self._out:
            self._unsent_bytes = self._link.unsent_bytes
            self._flush_soon()
        self._unsent_bytes += len(command)
        if self._unsent_bytes > UNSENT_BYTES:
            self._unsent_bytes -= len(command)
            self._metrics.bus_dropped += 1
        else:
            self._out.append(command)

    def _flush_soon(self) -> None:
        if not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        if self._out:
            out, self._out = self._out, []
            if self._link.is_up:
                self._metrics.bus_published += len(out)
                self._link.send(b"".join(out), repeat(None, len(out)))
            else:
                self._metrics.bus_dropped += len(out)
        if self._queue:
            self._tell()

    def _to_be_told(self, topic: _Topic) -> None:
        if not topic.is_queued:
            topic.is_queued = True
            self._queue.append(topic)
            self._flush_soon()

    def _tell(self) -> None:
        """Tell Redis of as many topics as it may be told of now."""
        while self._queue and self._link.is_up and self._unconfirmed < UNCONFIRMED:
            told: dict[bytes, list[bytes]] = {b"SUBSCRIBE": [], b"UNSUBSCRIBE": []}
            for _ in range(min(BATCH, len(self._queue))):
                topic = self._queue.popleft()
                topic.is_queued = False
                is_wanted = bool(topic.listeners)
                if is_wanted is topic.is_asked:
                    self._look_at(topic)
                else:
                    topic.is_asked = is_wanted
                    topic.pending += 1
                    self._unconfirmed += 1
                    told[b"SUBSCRIBE" if is_wanted else b"UNSUBSCRIBE"].append(topic.channel)
            for command, channels in told.items():
                if channels:
                    # A reply it has only when it is refused: what it does is confirmed by pushes.
                    self._link.send(pack((command, *channels)), ())
        if self._unconfirmed and self._watch is None:
            self._watch = self._loop.call_later(CONFIRM_SECONDS, self._look, self._confirmed)

    def _look_at(self, topic: _Topic) -> None:
        """Something of the topic may be settled."""
        if topic.pending or topic.is_queued:
            return
        if not topic.listeners:
            del self._topics[topic.channel]
        topic.settle()

    def _look(self, confirmed: int) -> None:
        """Some seconds after something was to be confirmed: was anything?"""
        self._watch = None
        if self._unconfirmed:
            if self._confirmed == confirmed:
                self._link.drop(self._refusal or "subscriptions are not confirmed")
            else:
                self._watch = self._loop.call_later(CONFIRM_SECONDS, self._look, self._confirmed)

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _resumed(self, done: asyncio.Future[None]) -> None:
        if self._resuming is None or self._resuming.done is not done:
            return
        self._resuming = None
        self.is_connected = True
        if self._was_lost:
            self._metrics.bus_reconnects += 1
            if self.reconnected is not None:
                self.reconnected()

    # LinkOwner

    def linked(self) -> None:
        resuming = self._resuming = _Waiting(self._loop)
        resuming.done.add_done_callback(self._resumed)
        resuming.left = 1 + len(self._topics)
        for topic in self._topics.values():
            topic.waiting += (resuming,)
            self._to_be_told(topic)
        resuming.settled()

    def lost(self) -> None:
        self._is_checked.set()
        self._was_lost = True
        self.is_connected = False
        self._resuming = None
        self._stop_watching()
        self._unconfirmed = 0
        self._queue.clear()
        for topic in list(self._topics.values()):
            topic.is_asked = topic.is_queued = False
            topic.pending = 0
            topic.settle()
            if not topic.listeners:
                del self._topics[topic.channel]

    def pushed(self, push: list[Any]) -> None:
        topic = self._topics.get(push[1])
        if push[0] == _MESSAGE:
            self._metrics.bus_heard += 1
            if topic is not None:
                for listener in topic.listeners:
                    try:
                        listener(topic.name, push[2])
                    except Exception:
                        logger.exception("a listener of {} failed", topic.name)
        elif topic is not None:
            self._confirmed += 1
            self._unconfirmed -= 1
            topic.pending -= 1
            self._look_at(topic)
            if self._queue and self._unconfirmed <= UNCONFIRMED - BATCH:
                self._flush_soon()

    def refused(self, reply: ReplyError) -> None:
        self._refusal = str(reply)
        self._is_checked.set()
        self._metrics.bus_dropped += 1
        if self._loop.time() > self._warned_at + _WARN_SECONDS:
            self._warned_at = self._loop.time()
            logger.warning("bus: {} refuses: {}", self._link.address, reply)
