"""What one connection is owed: encoded frames on their way to its socket, and how far they have
got.

While the socket keeps up everything is written straight to it. While it does not, frames are of
three classes, each with a limit of unsent bytes: hints (typing, presence) are dropped beyond
`HINT_BYTES`; events are refused beyond `EVENT_BYTES`, and whoever hands them over sends them from
the log once the socket has caught up; replies are written up to `OUTBOX_BYTES`, where the
connection is closed as a slow consumer (4008). So it is too when it has refused an event and not
caught up for `STALL_SECONDS`. Nothing is lost: its cursor has not moved, and it catches up when it
comes back.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from chatd.auth import Principal
from chatd.delivery.lacking import Lacking
from protocol.close import CloseCode

OUTBOX_BYTES: Final = 1024 * 1024
EVENT_BYTES: Final = 512 * 1024
HINT_BYTES: Final = 128 * 1024
STALL_SECONDS: Final = 20
PARTED: Final = 100
"""Conversations left that a connection remembers. What it was sent of more may come twice when the
user comes back and asks for it."""


OWN_ELSEWHERE: Final = 100
"""Events that a connection has acks for in conversations that it does not hear yet. Those beyond
may come as events too, with ids that the client knows."""

_NONE_PARTED: Final[dict[str, tuple[Lacking, int]]] = {}
"""Shared by all who have left none, and never changed: most connections."""
_NONE_OWN: Final[dict[str, set[int]]] = {}
"""The same for those who post only to what they hear."""


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
        "_stall",
        "acks",
        "connection_id",
        "own",
        "parted",
        "pinged",
        "principal",
        "reply",
        "shut",
        "write",
        "written",
    )

    def __init__(
        self,
        principal: Principal,
        sink: Sink,
        shut: Callable[[CloseCode], None],
        connection_id: str = "",
    ) -> None:
        self.principal = principal
        self.connection_id = connection_id
        self._sink = sink
        self.shut = shut
        """Closes the connection with a code. Safe to call at any time; takes effect after the
        current callback."""
        self._drained: asyncio.Future[None] | None = None
        self._stall: asyncio.TimerHandle | None = None
        self.write: Callable[[bytes], bool | None] = sink.write
        """Send an event: bytes of whole WebSocket frames; true when they were refused. The socket's
        own method while it keeps up, so that the common case costs no check."""
        self.reply: Callable[[bytes], None] = sink.write
        """Send what must not be refused."""
        self.acks = False
        """It has sent an ACK: from then on only ACKs say what is delivered."""
        self.parted: dict[str, tuple[Lacking, int]] = _NONE_PARTED
        """Conversations that its user has left since it is here: what it was not sent, and up to
        where."""
        self.own: dict[str, set[int]] = _NONE_OWN
        """What it posted to conversations that it does not hear yet: it has the acks."""
        self.written: dict[str, int] = {}
        """By conversation, the highest seq written since the last ping."""
        self.pinged: dict[str, int] = {}
        """What was written before the ping that is under way: delivered when its pong comes."""
        self._last_words: dict[str, int] = {}
        """What had been written when the outbox closed; what is noted after that was discarded."""

    def is_closed(self) -> bool:
        return self.write is _discard

    def note_parted(self, conversation_id: str, lacking: Lacking, sent_up_to: int) -> None:
        """Remember what was sent of a conversation that the user leaves."""
        if self.parted is _NONE_PARTED:
            self.parted = {}
        if len(self.parted) < PARTED:
            self.parted[conversation_id] = lacking, sent_up_to

    def note_own(self, conversation_id: str, seq: int) -> None:
        """It posted to a conversation that it does not hear yet."""
        if self.own is _NONE_OWN:
            self.own = {}
        if sum(map(len, self.own.values())) < OWN_ELSEWHERE:
            self.own.setdefault(conversation_id, set()).add(seq)

    def is_slow(self) -> bool:
        """Whether the socket has more than it can send at once."""
        return self.write == self._write_while_slow

    def hint(self, data: bytes) -> None:
        """Send what may as well be dropped."""
        if not self.is_slow():
            self.write(data)
        elif self._sink.get_write_buffer_size() + len(data) <= HINT_BYTES:
            self._sink.write(data)

    def pause(self) -> None:
        """The socket has more than it can send at once."""
        if not self.is_closed():
            self.write = self._write_while_slow
            self.reply = self._reply_while_slow

    def resume(self) -> None:
        """The socket keeps up again."""
        if not self.is_closed():
            self.write = self.reply = self._sink.write
        self._wake()

    def close(self) -> None:
        """Nothing is sent from now on."""
        if not self.is_closed():
            self.write = self.reply = _discard
            self._last_words, self.written = self.written, {}
        self._wake()

    async def drained(self) -> None:
        """Wait until the socket keeps up, or is closed."""
        if self.is_slow():
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
        if everything:
            confirmed = confirmed | self._last_words
        return {} if self.acks else confirmed

    def _write_while_slow(self, data: bytes) -> bool | None:
        if self._sink.get_write_buffer_size() + len(data) > EVENT_BYTES:
            if self._stall is None:
                loop = asyncio.get_running_loop()
                self._stall = loop.call_later(STALL_SECONDS, self._give_up)
            return True
        self._sink.write(data)
        return None

    def _reply_while_slow(self, data: bytes) -> None:
        if self._sink.get_write_buffer_size() + len(data) > OUTBOX_BYTES:
            self._give_up()
        else:
            self._sink.write(data)

    def _give_up(self) -> None:
        self.close()
        self.shut(CloseCode.SLOW_CONSUMER)

    def _wake(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None


def _discard(data: bytes) -> None:
    """What a closed outbox does with bytes."""
