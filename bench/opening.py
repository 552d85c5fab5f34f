"""How a connection of a load process opens, until its receiver takes over."""

import asyncio
import re
import socket
from collections.abc import Callable
from typing import Final, Generic, TypeVar, cast

from bench import wire
from bench.plan import Dialect, Seat

R = TypeVar("R", bound=asyncio.Protocol)

OPEN_SECONDS: Final = 30
NARROW_RECEIVE_BYTES: Final = 4096
NARROW_SEGMENT_BYTES: Final = 1400
"""Of one that will stall. On loopback the kernel would take some 4 MB from the server before anyone
could see that nobody reads; a small receive buffer alone leaves it 3 MB, because segments of 64 KB
make the server's send buffer grow. With segments as on an Ethernet it is 90 KB of a young
connection, and 600 KB and more of one that has been in use (measured with BBR)."""
_PORTS_AN_ADDRESS: Final = 20_000
"""Connections from one address of 127.0.0.0/8, well below the ports that the system gives out."""
_END_OF_HEAD: Final = b"\r\n\r\n"
_MAX_SHOWN: Final = 200


class Replies:
    """A dialect, ready for use."""

    def __init__(self, dialect: Dialect) -> None:
        self.ack: Final = re.compile(dialect.ack)
        self.refusal: Final = re.compile(dialect.refusal)
        self.event: Final = re.compile(dialect.event)
        self.resume: Final = dialect.resume
        self.resumed: Final = dialect.resumed


async def open_connection(
    address: tuple[str, int],
    seat: Seat,
    request: bytes,
    replies: Replies,
    successor: Callable[[wire.Stream, asyncio.Transport], R],
    *,
    is_narrow: bool = False,
) -> R:
    """Connect, upgrade with `request`, and go through the steps of the seat.

    Args:
        is_narrow: the kernel is to keep little of what nobody reads.

    Raises:
        OSError: it could not be opened; TimeoutError: not within `OPEN_SECONDS`.
    """
    loop = asyncio.get_running_loop()
    source = (f"127.0.0.{1 + seat.number // _PORTS_AN_ADDRESS}", 0)

    def opening() -> Opening[R]:
        return Opening(seat, request, replies, successor)

    async with asyncio.timeout(OPEN_SECONDS):
        if is_narrow:
            connected = await _connect_narrowly(address, source)
            _, made = await loop.create_connection(opening, sock=connected)
        else:
            _, made = await loop.create_connection(opening, *address, local_addr=source)
        return await made.opened


async def _connect_narrowly(address: tuple[str, int], source: tuple[str, int]) -> socket.socket:
    narrow = socket.socket()
    try:
        narrow.setblocking(False)
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW_RECEIVE_BYTES)
        narrow.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, NARROW_SEGMENT_BYTES)
        narrow.bind(source)
        await asyncio.get_running_loop().sock_connect(narrow, address)
    except BaseException:
        narrow.close()
        raise
    return narrow


class Opening(asyncio.Protocol, Generic[R]):
    """Upgrades, goes through the steps of the seat, and then makes way for its successor."""

    def __init__(
        self,
        seat: Seat,
        request: bytes,
        replies: Replies,
        successor: Callable[[wire.Stream, asyncio.Transport], R],
    ) -> None:
        self.opened: Final[asyncio.Future[R]] = asyncio.get_running_loop().create_future()
        """Fails with ConnectionError."""
        self._seat = seat
        self._request = request
        self._replies = replies
        self._successor = successor
        self._head = b""
        self._steps = list(seat.steps)
        self._stream: wire.Stream | None = None
        """None until the upgrade is answered."""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is one in all but inheritance.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.opened.done():
            return
        if self._stream is None:
            self._head += data
            head, end, data = self._head.partition(_END_OF_HEAD)
            if not end:
                return
            if b" 101 " not in head.partition(b"\r\n")[0]:
                self._fail(f"no upgrade: {shown(head)}")
                return
            self._stream = wire.Stream()
            self._next_step()
        self._stream.feed(data)
        frames = self._stream.seen[: self._stream.end]
        if refusal := self._replies.refusal.search(frames):
            self._fail(shown(refusal[0]))
        while self._steps and self._steps[0].expect in frames:
            del self._steps[0]
            self._next_step()
        if not self._steps and not self.opened.done():
            successor = self._successor(self._stream, self._transport)
            self._transport.set_protocol(successor)
            self.opened.set_result(successor)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail("the connection was closed" + (f": {error}" if error else ""))

    def _next_step(self) -> None:
        if self._steps and self._steps[0].send:
            self._transport.write(wire.masked(self._steps[0].send.encode()))

    def _fail(self, reason: str) -> None:
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(f"{self._seat.user}: {reason}"))
            self._transport.abort()


def shown(text: bytes) -> str:
    """Bytes of the server in a line for people."""
    return " ".join(text[:_MAX_SHOWN].decode(errors="replace").split())
