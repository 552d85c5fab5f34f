# ruff: noqa: ASYNC109 - the deadline is an argument because the error says what was awaited and what came instead
"""One open connection: a reader task, the requests that await a reply, and the pushes.

Rules of this file: it knows frames, not what they mean. Only the reader receives; it belongs to the
connection, and `close` and `abort` wait for it. Nothing reconnects here.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, NamedTuple, Self, TypeVar, overload

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from protocol import encode, pushes, requests
from protocol.pushes import Info, Reply, ReplyFrame, ServerFrame
from protocol.requests import Request
from testclients.errors import BadFrame, ClientError, ConnectionLost, Overdue, RequestFailed
from testclients.frames import decode
from testclients.positions import Positions

F = TypeVar("F", bound=pushes.Frame)
Sink = Callable[[ServerFrame, Request | None], Awaitable[None]]
"""Gets a frame and, if it is the reply to one, the request. While it waits nothing else is read."""

MAX_PUSHES: Final = 10_000
REQUEST_SECONDS: Final = 10.0
PUSH_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 5.0
CUT: Final = 1006
"""The close code of RFC 6455 for a connection that ended without a close frame."""


class _Awaited(NamedTuple):
    request: Request
    reply: asyncio.Future[Reply]


class Connection:
    """From INFO on; ended by `close`, which leaving the context calls."""

    def __init__(
        self,
        ws: ClientConnection,
        info: Info,
        max_pushes: int,
        positions: Positions | None = None,
        sink: Sink | None = None,
    ) -> None:
        """`ChatClient.connect` says what the arguments mean."""
        self.info = info
        self.pushes: asyncio.Queue[ServerFrame] = asyncio.Queue(max_pushes)
        """What came unasked, in order: pushes, and replies that no request awaits, for instance
        an ERROR without `ref`.

        At the limit the reader waits, replies or not: to the server this is a slow reader then.
        """
        self.received = 0
        """How many frames were put into `pushes`."""
        self.positions = positions
        self._ws = ws
        self._loop = asyncio.get_running_loop()
        self._closed: asyncio.Future[int] = self._loop.create_future()
        self._failure: BadFrame | None = None
        """What ended the connection from this side."""
        self._sink = sink
        self._awaited: dict[str, _Awaited] = {}
        """By `ref`."""
        self._last_ref = 0
        self._kept: deque[ServerFrame] = deque()
        """Pushes that `next_push` passed over, oldest first; older than all in `pushes`."""
        self._is_waiting = False
        """A `next_push` is being awaited."""
        self._arrived = asyncio.Event()
        """Set when something was put into `pushes`, and when the connection has ended."""
        self._is_closing = False
        self._reader = self._loop.create_task(self._read(), name=f"reader of {info.user}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        try:
            await self.close()
        except BadFrame:
            # It has failed what the body awaited; there it says more.
            if error is None:
                raise

    @property
    def user(self) -> str:
        return self.info.user

    @property
    def subprotocol(self) -> str | None:
        """What the server selected in the handshake."""
        return self._ws.subprotocol

    @property
    def closed(self) -> "asyncio.Future[int]":
        """Await it for the close code; what was received before the close is in `pushes` by then.

        Somebody has to take pushes meanwhile: a reader that waits for room does not see the close.
        """
        return asyncio.shield(self._closed)

    @property
    def close_code(self) -> int | None:
        """None while open; 1006 when the connection was cut without a close frame."""
        return self._closed.result() if self._closed.done() else None

    @property
    def close_reason(self) -> str:
        """What the close frame said; empty while open."""
        return self._ws.close_reason or ""

    async def close(self, code: int = 1000) -> None:
        """Close with a handshake, and await the reader; what still comes is kept if there is room.

        Raises:
            BadFrame: the server had sent what is no frame.
        """
        self._let_reader_end()
        try:
            await self._ws.close(code)
            await self._reader
        except asyncio.CancelledError:
            self._ws.transport.abort()
            self._reader.cancel()
            raise

    async def abort(self) -> None:
        """Cut the connection without a close handshake, as a crash would, and wait for the reader.

        Raises:
            BadFrame: the server had sent what is no frame.
        """
        self._let_reader_end()
        self._ws.transport.abort()
        await self._reader

    def cut(self) -> None:
        """Cut the connection, and wait for nothing; it is still to be closed or aborted."""
        self._ws.transport.abort()

    async def send(self, frame: Request) -> None:
        """Send a request and await no reply.

        Raises:
            ConnectionLost
        """
        await self.send_raw(encode(frame).decode())

    async def send_raw(self, message: str | bytes) -> None:
        """Send one message, request or not: str as a text message, bytes as a binary one.

        Raises:
            ConnectionLost
        """
        try:
            await self._ws.send(message)
        except ConnectionClosed:
            raise self._lost() from None

    async def ended(self) -> ClientError:
        """Wait until the connection is closed, and say why it is; as for `closed`."""
        await self.closed
        return self._lost()

    async def request(self, frame: Request, *, timeout: float | None = REQUEST_SECONDS) -> Reply:
        """Send `frame`, with a `ref` if it has none, and give its reply, which is never an ERROR.

        `timeout` is in seconds; None waits as long as the connection lasts.

        Raises:
            RequestFailed: the reply is an ERROR.
            Overdue: none came within `timeout` seconds; the outcome is unknown.
            ConnectionLost: before the reply; the outcome is unknown.
        """
        ref = frame.ref
        if ref is None:
            self._last_ref += 1
            ref = str(self._last_ref)
            frame = msgspec.structs.replace(frame, ref=ref)
        if ref in self._awaited:
            raise ValueError(f"a request with the ref {ref!r} awaits its reply")
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._awaited[ref] = _Awaited(frame, future)
        try:
            async with asyncio.timeout(timeout):
                await self.send(frame)
                reply = await future
        except TimeoutError:
            full = "; `pushes` is full, so nothing is read" if self.pushes.full() else ""
            raise Overdue(
                f"{self.user}: no reply to {type(frame).__name__} within {timeout:g} s{full}"
            ) from None
        finally:
            self._awaited.pop(ref, None)
            if future.done() and not future.cancelled():
                future.exception()  # may stand for what the send has raised already
        if isinstance(reply, pushes.Error):
            raise RequestFailed(reply.code, reply.msg, reply.temporary, reply.retry_after_ms)
        return reply

    async def disconnect(self, *, timeout: float = CLOSE_SECONDS) -> int:
        """Send DISCONNECT and wait until the server has closed. Returns the close code.

        Raises:
            Overdue: the server has not closed within `timeout` seconds.
            ConnectionLost: it was closed before.
        """
        await self.send(requests.Disconnect())
        try:
            return await asyncio.wait_for(self.closed, timeout)
        except TimeoutError:
            raise Overdue(f"{self.user}: not closed within {timeout:g} s of DISCONNECT") from None

    @overload
    async def next_push(self, wanted: type[F], *, timeout: float | None = ...) -> F: ...

    @overload
    async def next_push(
        self, wanted: Callable[[ServerFrame], bool] | None = None, *, timeout: float | None = ...
    ) -> ServerFrame: ...

    async def next_push(
        self,
        wanted: type[pushes.Frame] | Callable[[ServerFrame], bool] | None = None,
        *,
        timeout: float | None = PUSH_SECONDS,
    ) -> pushes.Frame:
        """The oldest push of the type `wanted`, or for which `wanted` is true, or of all.

        Those it passes over are kept for later calls, in their order. They have left `pushes`
        then: a program uses either this method or the queue. One call at a time. A `timeout` of
        None waits until the close.

        Raises:
            Overdue: none within `timeout` seconds; the message says what was passed over.
            ConnectionLost: the connection is closed and nothing that came before matches.
            ClientError: more were passed over than `pushes` may hold.
        """
        if self._is_waiting:
            raise RuntimeError("next_push is being awaited already")
        for index, frame in enumerate(self._kept):
            if _matches(frame, wanted):
                del self._kept[index]
                return frame
        self._is_waiting = True
        try:
            async with asyncio.timeout(timeout):
                while True:
                    while not self.pushes.empty():
                        frame = self.pushes.get_nowait()
                        if _matches(frame, wanted):
                            return frame
                        self._keep(frame)
                    if self._closed.done():
                        raise self._lost()
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            name = wanted.__name__ if isinstance(wanted, type) else "matching push"
            raise Overdue(
                f"{self.user}: no {name} within {timeout:g} s; {self._describe_kept()}"
            ) from None
        finally:
            self._is_waiting = False

    def take_all(self) -> list[ServerFrame]:
        """Every push that has come and was not taken, oldest first; never waits."""
        taken = list(self._kept)
        self._kept.clear()
        while not self.pushes.empty():
            taken.append(self.pushes.get_nowait())
        return taken

    def _keep(self, frame: ServerFrame) -> None:
        if len(self._kept) >= self.pushes.maxsize:
            raise ClientError(f"{self.user}: nobody takes the pushes; {self._describe_kept()}")
        self._kept.append(frame)

    def _describe_kept(self) -> str:
        counts = Counter(type(frame).__name__ for frame in self._kept)
        return "kept: " + (
            ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing"
        )

    async def _read(self) -> None:
        try:
            while True:
                frame = decode(await self._ws.recv(decode=False))
                if self.positions is not None:
                    self.positions.note(frame, self.info.user)
                awaited = None
                if isinstance(frame, ReplyFrame) and frame.ref is not None:
                    awaited = self._awaited.get(frame.ref)
                if self._sink is not None:
                    await self._sink(frame, None if awaited is None else awaited.request)
                if awaited is not None and not awaited.reply.done():
                    assert isinstance(frame, ReplyFrame)
                    awaited.reply.set_result(frame)
                elif self._sink is None:
                    await self._push(frame)
        except ConnectionClosed:
            pass
        except BadFrame as error:
            self._failure = error
            self._ws.transport.abort()
            raise
        finally:
            self._end()

    async def _push(self, frame: ServerFrame) -> None:
        if self.pushes.full():
            if self._is_closing:
                return
            await self.pushes.put(frame)
        else:
            self.pushes.put_nowait(frame)
        self.received += 1
        self._arrived.set()

    def _let_reader_end(self) -> None:
        """From now on the reader does not wait for room; if it does now, the oldest push goes."""
        self._is_closing = True
        if self.pushes.full():
            self.pushes.get_nowait()

    def _end(self) -> None:
        self._closed.set_result(self._code())
        for awaited in self._awaited.values():
            if not awaited.reply.done():
                awaited.reply.set_exception(self._lost())
        self._arrived.set()

    def _code(self) -> int:
        code = self._ws.close_code
        return CUT if code is None else code

    def _lost(self) -> ClientError:
        return self._failure or ConnectionLost(self._code(), self.close_reason)


def _matches(
    frame: ServerFrame, wanted: type[pushes.Frame] | Callable[[ServerFrame], bool] | None
) -> bool:
    if isinstance(wanted, type):
        return isinstance(frame, wanted)
    return wanted is None or wanted(frame)
