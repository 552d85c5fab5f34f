"""One connection to Redis, kept: it comes back by itself, and what has stalled is given up.

redis-py takes 13 µs for a command in a pipeline of fifty and 12 µs for a message that it hears;
with hiredis, its own parser, under our Protocol both together are below 2 µs.

A connection is lost when Redis closes it, sends nothing for `SILENT_TICKS` though something is
asked, or answers nothing for `SLOW_TICKS`. When nothing is asked, it is asked for a sign of life
each tick. Then it is tried again, first at once and at last every `RETRY_SECONDS`.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, cast

from hiredis import ProtocolError, PushNotification, Reader, ReplyError, pack_command
from loguru import logger

from chatd.errors import BackendError
from chatd.fabric.address_redis import RedisAddress

TICK_SECONDS: Final = 0.5
SILENT_TICKS: Final = 4
SLOW_TICKS: Final = 20
CONNECT_SECONDS: Final = 3.0
RETRY_SECONDS: Final = 0.5
_FIRST_RETRY_SECONDS: Final = 0.05
_STEADY_SECONDS: Final = 5.0
"""A connection that is lost sooner is no reason to try again at once."""
_COMPLAIN_SECONDS: Final = 60.0
"""The same complaint is not made again sooner."""
_CLOSE_SECONDS: Final = 1.0
_NOTHING: Final = object()

Argument = str | int | float | bytes
Awaited = asyncio.Future[Any] | None
"""Who gets a reply; None when only a refusal is of interest."""


pack: Final = cast(Callable[[tuple[Argument, ...]], bytes], pack_command)
"""A command as it is sent."""
_PING: Final = pack(("PING",))


class RedisRefused(BackendError):
    """Redis answered with an error; `code` is its first word."""

    def __init__(self, text: str) -> None:
        super().__init__(f"Redis: {text}")
        self.code = text.partition(" ")[0]


class LinkOwner(Protocol):
    def linked(self) -> None:
        """There is a connection from now on; it knows nothing of an earlier one."""
        ...

    def lost(self) -> None:
        """There is none any more; who awaited a reply was told."""
        ...

    def pushed(self, push: list[Any]) -> None:
        """Redis told something unasked."""
        ...

    def refused(self, reply: ReplyError) -> None:
        """A command whose reply nobody awaits was answered with an error; the connection is given
        up when it was one of those that are not answered otherwise."""
        ...


class RedisLink:
    """See the module. Used on one loop."""

    def __init__(self, url: str, owner: LinkOwner, name: str) -> None:
        """`name` is for the log. Raises BackendError: the URL cannot be used."""
        self.address = RedisAddress(url)
        self._owner = owner
        self._name = name
        self._wire: _Wire | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._is_lost = asyncio.Event()
        self.reason = ""
        """Why there was no connection when there was none last."""
        self._complained_at = -_COMPLAIN_SECONDS
        self._lost_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_up(self) -> bool:
        return self._wire is not None

    @property
    def waiting(self) -> int:
        """Commands that are not answered yet."""
        return 0 if self._wire is None else len(self._wire.awaited)

    @property
    def unsent_bytes(self) -> int:
        """Bytes that wait to be sent."""
        return 0 if self._wire is None else self._wire.transport.get_write_buffer_size()

    async def start(self) -> None:
        """Connect, once, and stay connected from then on.

        Raises:
            BackendError: it is not there, or it does not let chatd in.
        """
        await self._connect()
        self._keeping = asyncio.get_running_loop().create_task(self._keep(), name=self._name)

    async def close(self) -> None:
        """Send what waits, and have no connection any more."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        wire = self._wire
        if wire is None:
            return
        self._take_wire()
        wire.transport.close()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await wire.has_ended.wait()
        except TimeoutError:
            wire.transport.abort()
        wire.fail(f"{self.address}: closed")

    def send(self, packed: bytes, awaited: Iterable[Awaited]) -> None:
        """Send commands; one of `awaited` for each that is answered. They fail at once when there
        is no connection."""
        if self._wire is not None:
            self._wire.awaited.extend(awaited)
            self._wire.transport.write(packed)
        else:
            _fail(awaited, f"{self.address} is gone")

    def drop(self, reason: str) -> None:
        """Give the connection up; a new one is made."""
        wire = self._wire
        if wire is None:
            return
        self._take_wire()
        wire.transport.abort()
        self._lost_at = asyncio.get_running_loop().time()
        self._complain(f"{self.address}: {reason}")
        wire.fail(f"{self.address}: {reason}")
        self._owner.lost()
        self._is_lost.set()

    def _take_wire(self) -> None:
        if self._wire is not None:
            self._wire.ended = None
            self._wire = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        pause, back_at = _FIRST_RETRY_SECONDS, loop.time()
        while True:
            await self._is_lost.wait()
            self._is_lost.clear()
            lost_at = self._lost_at
            if lost_at > back_at + _STEADY_SECONDS:
                pause = _FIRST_RETRY_SECONDS
            while self._wire is None:
                # Nodes that lost it together do not come back in one moment.
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))
                pause = min(2 * pause, RETRY_SECONDS)
                try:
                    await self._connect()
                except BackendError as error:
                    self._complain(str(error))
            back_at = loop.time()
            if self._complained_at >= lost_at:
                seconds = back_at - lost_at
                logger.info("{}: {} is back after {:.1f} s", self._name, self.address, seconds)

    def _complain(self, reason: str) -> None:
        now = asyncio.get_running_loop().time()
        if reason != self.reason or now >= self._complained_at + _COMPLAIN_SECONDS:
            self._complained_at = now
            logger.warning("{}: {}", self._name, reason)
        self.reason = reason

    async def _connect(self) -> None:
        wire = _Wire(self._owner)
        address = self.address
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await address.open(lambda: wire)
                try:
                    await self._greet(wire)
                except BaseException:
                    wire.ended = None
                    wire.transport.abort()
                    raise
        except RedisRefused as error:
            raise BackendError(f"{address}: {address.without_password(str(error))}") from None
        except TimeoutError as error:
            raise BackendError(f"{address}: no answer within {CONNECT_SECONDS:g} s") from error
        except (BackendError, OSError, ValueError) as error:
            raise BackendError(f"{address}: {str(error) or type(error).__name__}") from error
        if wire.has_ended.is_set():
            # After its last reply, when nobody listened.
            raise BackendError(f"{address}: it closed the connection")
        wire.ended = self.drop
        self._wire = wire
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick, 0, 0, 0, 0)
        self._owner.linked()

    async def _greet(self, wire: "_Wire") -> None:
        address = self.address
        commands: list[tuple[Argument, ...]] = [
            ("HELLO", 3, "SETNAME", "chatd"),
            ("SELECT", address.database),
            # Refused while it loads its data: until then it is not there.
            ("PING",),
        ]
        if address.password is not None:
            commands[0] = (*commands[0][:2], "AUTH", address.username, address.password)
        loop = asyncio.get_running_loop()
        replies: list[asyncio.Future[Any]] = [loop.create_future() for _ in commands]
        wire.awaited.extend(replies)
        wire.transport.write(b"".join(map(pack, commands)))
        if wire.has_ended.is_set():
            wire.fail("it closed the connection")
        for outcome in await asyncio.gather(*replies, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    def _tick(self, received: int, replies: int, silent: int, slow: int) -> None:
        """Look whether Redis answers. Ticks are counted and not time: when this process had none,
        what has come meanwhile is read before the next tick."""
        wire = self._wire
        assert wire is not None
        if not wire.awaited:
            silent = slow = 0
            self.send(_PING, (None,))
        else:
            silent = silent + 1 if wire.received == received else 0
            slow = slow + 1 if wire.replies == replies else 0
        if silent >= SILENT_TICKS or slow >= SLOW_TICKS:
            self.drop("it does not answer")
            return
        self._timer = asyncio.get_running_loop().call_later(
            TICK_SECONDS, self._tick, wire.received, wire.replies, silent, slow
        )


class _Wire(asyncio.Protocol):
    """One connection from its beginning to its end."""

    def __init__(self, owner: LinkOwner) -> None:
        self._owner = owner
        self._reader = Reader(notEnoughData=_NOTHING)
        self.transport: asyncio.Transport
        self.awaited: deque[asyncio.Future[Any] | None] = deque()
        self.received = 0
        """Times that something came."""
        self.replies = 0
        self.ended: Callable[[str], None] | None = self.fail
        """Told once, unless it was taken away: then nobody listens any more."""
        self.has_ended = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Those of uvloop are no subclasses.
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.has_ended.set()
        self._end(str(error or "") or "it closed the connection")

    def data_received(self, data: bytes) -> None:
        if self.ended is None:
            return
        self.received += 1
        pushed, awaited = self._owner.pushed, self.awaited
        replies = 0
        try:
            self._reader.feed(data)
            gets = self._reader.gets
            while (reply := gets()) is not _NOTHING:
                if type(reply) is PushNotification:
                    pushed(reply)
                    continue
                replies += 1
                if not awaited:
                    # Of a command that would have been confirmed by pushes.
                    self._owner.refused(reply)
                    return self._end(str(reply))
                future = awaited.popleft()
                if future is None:
                    if type(reply) is ReplyError:
                        self._owner.refused(reply)
                elif not future.done():
                    if type(reply) is ReplyError:
                        future.set_exception(RedisRefused(str(reply)))
                    else:
                        future.set_result(reply)
        except ProtocolError as error:
            self._end(f"it does not speak as Redis does: {error}")
        self.replies += replies

    def fail(self, reason: str) -> None:
        """Nothing that is awaited will come."""
        awaited = list(self.awaited)
        self.awaited.clear()
        _fail(awaited, reason)

    def _end(self, reason: str) -> None:
        ended, self.ended = self.ended, None
        if ended is not None:
            ended(reason)


def _fail(awaited: Iterable[Awaited], reason: str) -> None:
    for future in awaited:
        if future is not None and not future.done():
            future.set_exception(BackendError(reason))
