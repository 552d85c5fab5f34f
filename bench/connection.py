"""One connection of a load process: first it opens, then it receives."""

import asyncio
import re
from array import array
from time import monotonic_ns
from typing import Final, Protocol, cast

from bench import wire
from bench.plan import Dialect, Seat

_END_OF_HEAD: Final = b"\r\n\r\n"
_MAX_SHOWN: Final = 200


class Load(Protocol):
    """What a connection reports to."""

    def found(self, values: list[int]) -> None:
        """Messages were received, these are the values of their marks."""

    def acked(self, number: int, now_ns: int) -> None: ...

    def fail(self, reason: str) -> None:
        """The run is spoilt. Only the first reason counts."""


class Replies:
    """A dialect, ready for use."""

    def __init__(self, dialect: Dialect) -> None:
        self.ack: Final = re.compile(dialect.ack)
        self.refusal: Final = re.compile(dialect.refusal)


class Opening(asyncio.Protocol):
    """Upgrades, goes through the steps of the seat, and then makes way for a Receiver."""

    def __init__(self, seat: Seat, replies: Replies, load: Load) -> None:
        self.opened: Final[asyncio.Future[Receiver]] = asyncio.get_running_loop().create_future()
        """Fails with ConnectionError."""
        self._seat = seat
        self._replies = replies
        self._load = load
        self._head = b""
        self._steps = list(seat.steps)
        self._stream: wire.Stream | None = None
        """None until the upgrade is answered."""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is one in all but inheritance.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._seat.request)

    def data_received(self, data: bytes) -> None:
        if self.opened.done():
            return
        if self._stream is None:
            self._head += data
            head, end, data = self._head.partition(_END_OF_HEAD)
            if not end:
                return
            if b" 101 " not in head.partition(b"\r\n")[0]:
                self._fail(f"no upgrade: {_shown(head)}")
                return
            self._stream = wire.Stream()
            self._next_step()
        self._stream.feed(data)
        frames = self._stream.seen[: self._stream.end]
        if refusal := self._replies.refusal.search(frames):
            self._fail(_shown(refusal[0]))
        while self._steps and self._steps[0].expect in frames:
            del self._steps[0]
            self._next_step()
        if not self._steps and not self.opened.done():
            receiver = Receiver(
                self._seat, self._stream, self._transport, self._replies, self._load
            )
            self._transport.set_protocol(receiver)
            self.opened.set_result(receiver)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail("the connection was closed" + (f": {error}" if error else ""))

    def _next_step(self) -> None:
        if self._steps and self._steps[0].send:
            self._transport.write(wire.masked(self._steps[0].send.encode()))

    def _fail(self, reason: str) -> None:
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(f"{self._seat.user}: {reason}"))
            self._transport.abort()


class Receiver(asyncio.Protocol):
    """Notes what arrives and when. Everything in `data_received` is done for every delivery."""

    def __init__(
        self,
        seat: Seat,
        stream: wire.Stream,
        transport: asyncio.Transport,
        replies: Replies,
        load: Load,
    ) -> None:
        self.seat = seat
        self.values = array("q")
        """Of every mark, in the order of arrival."""
        self.arrivals = array("q")
        """For every read that held marks, when it was, in nanoseconds."""
        self.counts = array("i")
        """For every such read, how many marks it held."""
        self.is_closed = False
        self._unacked = 0
        self._stream = stream
        self._transport = transport
        self._replies = replies
        self._load = load

    def post(self, number: int, content: str) -> None:
        self._unacked += 1
        text = self.seat.post % {"number": number, "content": content}
        self._transport.write(wire.masked(text.encode()))

    def data_received(self, data: bytes) -> None:
        now_ns = monotonic_ns()
        stream = self._stream
        found = stream.feed(data)
        if found:
            self.arrivals.append(now_ns)
            self.counts.append(len(found))
            self.values.extend(found)
            self._load.found(found)
        if self._unacked:
            self._read_replies(now_ns)
        if stream.control:
            self._answer_control()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_closed = True
        self._load.fail(f"{self.seat.user}: the server closed the connection")

    def close(self) -> None:
        self._load = _Nobody()
        self._transport.abort()

    def _read_replies(self, now_ns: int) -> None:
        seen, end = self._stream.seen, self._stream.end
        for ack in self._replies.ack.finditer(seen, 0, end):
            self._unacked -= 1
            self._load.acked(int(ack[1]), now_ns)
        if refusal := self._replies.refusal.search(seen, 0, end):
            self._load.fail(f"{self.seat.user}: a post was refused: {_shown(refusal[0])}")

    def _answer_control(self) -> None:
        for opcode, payload in self._stream.control:
            if opcode == wire.PING:
                self._transport.write(wire.pong(payload))
            elif opcode == wire.CLOSE:
                reason = wire.close_reason(payload)
                self._load.fail(f"{self.seat.user}: the server closed with {reason}")
        self._stream.control.clear()


class _Nobody:
    """For a connection that this side has closed."""

    def found(self, values: list[int]) -> None: ...

    def acked(self, number: int, now_ns: int) -> None: ...

    def fail(self, reason: str) -> None: ...


def _shown(text: bytes) -> str:
    return " ".join(text[:_MAX_SHOWN].decode(errors="replace").split())
