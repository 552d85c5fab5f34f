"""A seat that only reads, in its own manner, over all its connections: it counts, and comes back to
where it was."""

import asyncio
import json
from array import array
from typing import Final, Self

from bench import wire
from bench.connection import Load
from bench.markers import NUMBER
from bench.opening import Replies, open_connection, shown
from bench.plan import Reading, Seat


class Reader(asyncio.Protocol):
    """Its connections may be closed once it has stalled, or was cut; before that it is a failure.

    What `data_received` does for every delivery must cost far less than the delivery: it notes no
    times, and positions only if the seat comes back.
    """

    def __init__(self, address: tuple[str, int], seat: Seat, replies: Replies, load: Load) -> None:
        self.seat: Final = seat
        self.numbers = array("i")
        """Of the messages, in the order of arrival."""
        self.positions: dict[bytes, bytes] = {}
        """By conversation, the position of the last message that came."""
        self.is_open = False
        self._address = address
        self._replies = replies
        self._load = load
        self._in_rounds = seat.reading is Reading.IN_ROUNDS
        self._is_stalled = False
        self._may_end = False
        self._wanted = 0
        self._arrival: asyncio.Future[bool] | None = None
        self._resumed: asyncio.Future[None] | None = None
        self._stream: wire.Stream
        self._transport: asyncio.Transport

    async def open(self) -> None:
        """Connect for the first time.

        Raises:
            OSError: it could not.
        """
        await open_connection(
            self._address,
            self.seat,
            self.seat.request,
            self._replies,
            self._attach,
            is_narrow=self.seat.reading is Reading.STALLS,
        )

    async def come_back(self) -> None:
        """Connect again, say what it has, and wait until the server has sent what it missed.

        Raises:
            OSError: it could not, or the server refused, or closed the connection before.
        """
        self._may_end = False
        await open_connection(
            self._address, self.seat, self.seat.comeback, self._replies, self._attach
        )
        self._resumed = asyncio.get_running_loop().create_future()
        positions = {name.decode(): int(at) for name, at in self.positions.items()}
        text = self._replies.resume % {"positions": json.dumps(positions)}
        self._transport.write(wire.masked(text.encode()))
        await self._resumed

    async def received(self, count: int) -> bool:
        """Wait until so many messages have come in all; false when the connection ends before."""
        if len(self.numbers) >= count or not self.is_open:
            return len(self.numbers) >= count
        self._wanted = count
        self._arrival = asyncio.get_running_loop().create_future()
        return await self._arrival

    def look(self) -> None:
        """Read what has come since the last round."""
        if self.is_open:
            self._transport.resume_reading()

    def stall(self) -> None:
        """Read nothing from now on. The server may close a connection that does."""
        self._is_stalled = self._may_end = True
        if self.is_open:
            self._transport.pause_reading()

    def wake(self) -> None:
        if self._is_stalled and self.is_open:
            self._transport.resume_reading()
        self._is_stalled = False

    def cut(self) -> None:
        """Be gone without a word, as after a failure of the network."""
        self._may_end = True
        if self.is_open:
            self.is_open = False
            self._transport.abort()

    def _attach(self, stream: wire.Stream, transport: asyncio.Transport) -> Self:
        self._stream, self._transport = stream, transport
        self.is_open = True
        return self

    def data_received(self, data: bytes) -> None:
        found = self._stream.feed(data)
        if found:
            self.numbers.extend([value // NUMBER for value in found])
            if self.seat.comeback:
                self._note_positions()
            if self._arrival is not None and len(self.numbers) >= self._wanted:
                self._settle(True)
        if self._resumed is not None:
            self._read_replies(self._resumed)
        if self._stream.control:
            self._answer_control()
        if self._in_rounds and self.is_open:
            self._transport.pause_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        reason = f"{self.seat.user}: the server closed the connection"
        if self._resumed is not None:
            self._refuse(self._resumed, reason)
        elif not self._may_end:
            self._load.fail(reason)
        self._settle(False)

    def _note_positions(self) -> None:
        stream = self._stream
        for event in self._replies.event.finditer(stream.seen, 0, stream.end):
            self.positions[event[2]] = event[1]

    def _read_replies(self, resumed: asyncio.Future[None]) -> None:
        seen, end = self._stream.seen, self._stream.end
        if refusal := self._replies.refusal.search(seen, 0, end):
            self._refuse(resumed, f"{self.seat.user}: resuming was refused: {shown(refusal[0])}")
        elif seen.find(self._replies.resumed, 0, end) >= 0:
            self._resumed = None
            if not resumed.done():
                resumed.set_result(None)

    def _answer_control(self) -> None:
        for opcode, payload in self._stream.control:
            if opcode == wire.PING:
                self._transport.write(wire.pong(payload))
            elif opcode == wire.CLOSE:
                if not self._may_end:
                    reason = wire.close_reason(payload)
                    self._load.fail(f"{self.seat.user}: the server closed with {reason}")
                self._transport.close()
        self._stream.control.clear()

    def _refuse(self, resumed: asyncio.Future[None], reason: str) -> None:
        self._resumed = None
        if not resumed.done():
            resumed.set_exception(ConnectionError(reason))

    def _settle(self, is_there: bool) -> None:
        arrival, self._arrival = self._arrival, None
        if arrival is not None and not arrival.done():
            arrival.set_result(is_there)
