"""What one connection is owed: encoded frames on their way to its socket, and
how far they have got.

Limit: `OUTBOX_BYTES` of frames that the socket has not taken. At the limit the connection is closed
as a slow consumer (4008); nothing is lost, since its delivered cursor has not moved and it catches
up when it comes back.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from chatd.auth import Principal
from protocol.close import CloseCode

OUTBOX_BYTES: Final = 1024 * 1024


class Sink(Protocol):
    """The socket as delivery sees it."""

    def write(self, data: bytes) -> None:
        """Take bytes without blocking."""
        ...

    def get_write_buffer_size(self) -> int:
        """Bytes that were taken and not sent."""
        ...


class Outbox:
    """The way out to one connection. Identity is the object's: a user has one per open socket."""

    __slots__ = (
        "_drained",
        "_last_words",
        "_sink",
        "pinged",
        "principal",
        "shut",
        "write",
        "written",
    )

    def __init__(self, principal: Principal, sink: Sink, shut: Callable[[CloseCode], None]) -> None:
        self.principal = principal
        self._sink = sink
        self.shut = shut
        """Closes the connection with a code. Safe to call at any time; takes effect after the
        current callback."""
        self._drained: asyncio.Future[None] | None = None
        self.write: Callable[[bytes], None] = sink.write
        """Send bytes of whole WebSocket frames. The socket's own method while it keeps up, so
        that the common case costs no check; a slower one while it does not; one that drops
        everything once closed."""
        self.written: dict[str, int] = {}
        """By conversation, the highest seq written since the last ping."""
        self.pinged: dict[str, int] = {}
        """What was written before the ping that is under way: delivered when its pong comes."""
        self._last_words: dict[str, int] = {}
        """What had been written when the outbox closed; what is noted after that was discarded."""

    def is_closed(self) -> bool:
        return self.write is _discard

    def pause(self) -> None:
        """The socket has more than it can send at once."""
        if not self.is_closed():
            self.write = self._write_while_slow

    def resume(self) -> None:
        """The socket keeps up again."""
        if not self.is_closed():
            self.write = self._sink.write
        self._wake()

    def close(self) -> None:
        """Nothing is sent from now on."""
        if not self.is_closed():
            self.write = _discard
            self._last_words, self.written = self.written, {}
        self._wake()

    async def drained(self) -> None:
        """Wait until the socket keeps up, or is closed."""
        if self.write == self._write_while_slow:
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            # Shielded: a waiter that is cancelled must not take the others with it.
            await asyncio.shield(self._drained)

    def ping_sent(self) -> None:
        """What was written so far will be confirmed by the pong."""
        if not self.is_closed():
            self.pinged |= self.written
            self.written = {}

    def take_confirmed(self, *, everything: bool = False) -> dict[str, int]:
        """The delivered cursors that a pong confirms; with `everything`, those that a
        clean close does."""
        confirmed, self.pinged = self.pinged, {}
        return confirmed | self._last_words if everything else confirmed

    def _write_while_slow(self, data: bytes) -> None:
        if self._sink.get_write_buffer_size() + len(data) > OUTBOX_BYTES:
            self.close()
            self.shut(CloseCode.SLOW_CONSUMER)
        else:
            self._sink.write(data)

    def _wake(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None


def _discard(data: bytes) -> None:
    """What a closed outbox does with bytes."""
