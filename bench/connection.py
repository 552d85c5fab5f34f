"""A connection of a load process that notes when what arrives, and may post."""

import asyncio
from array import array
from time import monotonic_ns
from typing import Protocol

from bench import wire
from bench.opening import Replies, shown
from bench.plan import Seat


class Load(Protocol):
    """What a connection reports to."""

    def found(self, values: list[int]) -> None:
        """Messages were received, these are the values of their marks."""

    def acked(self, number: int, now_ns: int) -> None: ...

    def fail(self, reason: str) -> None:
        """The run is spoilt. Only the first reason counts."""


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
            self._load.fail(f"{self.seat.user}: a post was refused: {shown(refusal[0])}")

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
