"""One WebSocket connection's bytes: RFC 6455 through websockets' sans-I/O core, in
an asyncio.Protocol.

The core parses and answers pings and closes; this module moves bytes, puts fragments together,
bounds the time of the handshake and of the close, and tells a Receiver what came. It knows nothing
of chat. Messages to the client do not pass through the core: they are ready-made frames written to
the transport (see `protocol.framing`).

Limits: handshake `HANDSHAKE_SECONDS`; message size `FRAME_BYTES` (1009); close `CLOSE_SECONDS`,
then the connection is cut; a client that sends pings and reads nothing is cut at `UNSENT_BYTES`.
"""

import asyncio
import logging
from enum import Enum, auto
from http import HTTPStatus
from typing import Final, Protocol, cast

from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import SEND_EOF, State
from websockets.server import ServerProtocol

from chatd.delivery.outbox import OUTBOX_BYTES
from chatd.edge.text_frame import whole_text_frame
from protocol.close import CLOSES, CloseCode
from protocol.limits import FRAME_BYTES

HANDSHAKE_SECONDS: Final = 10
CLOSE_SECONDS: Final = 5
UNSENT_BYTES: Final = 2 * OUTBOX_BYTES

_logger: Final = logging.getLogger("chatd.websockets")
_logger.addHandler(logging.NullHandler())
_logger.propagate = False
_logger.setLevel(logging.CRITICAL)


class Receiver(Protocol):
    """What hears an open connection. Every call is on the loop; `closed` is the last."""

    def message(self, data: bytes | bytearray) -> None:
        """A whole text message came; that it is UTF-8 is not checked."""
        ...

    def binary(self) -> None:
        """A whole binary message came."""
        ...

    def pong(self) -> None: ...

    def pause_sending(self) -> None:
        """The socket has more to send than it can."""
        ...

    def resume_sending(self) -> None: ...

    def closing(self) -> None:
        """Either side began to close: nothing may be sent any more."""
        ...

    def closed(self, *, clean: bool) -> None:
        """The connection is gone; `clean` when close frames went both ways."""
        ...


class Gate(Protocol):
    """Decides about handshakes."""

    def opened(self, socket: "WebSocket") -> None:
        """A TCP connection came in."""
        ...

    def knock(self, socket: "WebSocket", request: Request) -> None:
        """A valid upgrade request came: call `socket.accept` or `socket.refuse`, now or later."""
        ...

    def lost(self, socket: "WebSocket") -> None:
        """The TCP connection is gone, whatever became of it."""
        ...


class Phase(Enum):
    HANDSHAKE = auto()
    DECIDING = auto()
    OPEN = auto()
    CLOSING = auto()


class WebSocket(asyncio.Protocol):
    __slots__ = (
        "_core",
        "_early",
        "_fragments",
        "_gate",
        "_is_binary",
        "_loop",
        "_phase",
        "_receiver",
        "_response",
        "_timer",
        "transport",
    )

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._loop = asyncio.get_running_loop()
        self._core = ServerProtocol(max_size=FRAME_BYTES, logger=_logger)
        self._phase = Phase.HANDSHAKE
        self._receiver: Receiver | None = None
        self._response: Response | None = None
        """The 101 that waits for the gate's decision."""
        self._early = b""
        """While the request is read, its last bytes; then what came behind it, for after the
        101."""
        self._fragments: bytearray | None = None
        self._is_binary = False
        self._timer: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport

    # For the gate and the connection.

    @property
    def peer(self) -> str:
        """The client's address, for logs."""
        address = self.transport.get_extra_info("peername")
        return str(address[0]) if address else "?"

    def accept(self, receiver: Receiver, subprotocol: str | None) -> None:
        """Finish the handshake. Nothing happens when the client has gone meanwhile."""
        if self._phase is not Phase.DECIDING:
            return
        response, self._response = self._response, None
        assert response is not None
        if subprotocol is not None:
            response.headers["Sec-WebSocket-Protocol"] = subprotocol
        self._core.send_response(response)
        self._phase = Phase.OPEN
        self._receiver = receiver
        self._cancel_timer()
        self._flush()

    def start_reading(self) -> None:
        """Let the client's messages come: not before whoever accepted is ready for them."""
        if not self.transport.is_closing():
            self.transport.resume_reading()
            early, self._early = self._early, b""
            if early:
                self.data_received(early)

    def refuse(self, status: HTTPStatus, text: str, headers: dict[str, str] | None = None) -> None:
        """Answer the upgrade with an HTTP error, and close."""
        if self._phase is not Phase.DECIDING:
            return
        response = self._core.reject(status, text + "\n")
        response.headers.update(headers or {})
        self._core.send_response(response)
        self._end()

    def close(self, code: CloseCode) -> None:
        """Send a close frame and wait, for a bounded time, for the client's."""
        if self._phase is Phase.OPEN:
            if self._core.state is State.OPEN:
                self._core.send_close(code, CLOSES[code].reason)
            self._end()
        elif self._phase is not Phase.CLOSING:
            self.transport.abort()

    def fail(self, code: CloseCode) -> None:
        """Send a close frame and hear nothing more: the client broke the protocol."""
        if self._phase is Phase.OPEN:
            self._core.fail(code, CLOSES[code].reason)
            self._end()

    # For the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio.Transport and not its class.
        self.transport = cast(asyncio.Transport, transport)
        self._timer = self._loop.call_later(HANDSHAKE_SECONDS, self.transport.abort)
        self._gate.opened(self)

    def data_received(self, data: bytes) -> None:
        core = self._core
        if self._phase is Phase.OPEN:
            if core.current_size is None and not core.reader.buffer:
                payload = whole_text_frame(data)
                if payload is not None:
                    assert self._receiver is not None
                    self._receiver.message(payload)
                    return
        elif self._phase is Phase.HANDSHAKE:
            data = self._up_to_end_of_request(data)
        core.receive_data(data)
        for event in core.events_received():
            if isinstance(event, Request):
                self._knock(event)
            elif isinstance(event, Frame) and self._phase is Phase.OPEN:
                self._frame(event)
        if core.writes:
            self._flush()
        if core.state is not State.OPEN and self._phase is Phase.OPEN:
            # The client began to close, or the core failed the connection (1002, 1009).
            self._end()
        elif self._phase is Phase.HANDSHAKE and core.close_expected():
            self._end()

    def eof_received(self) -> bool:
        if self._phase is Phase.OPEN:
            # Before the core half-closes: a write after that would raise, in somebody else's loop.
            self._end()
        self._core.receive_eof()
        self._flush()
        return False

    def pause_writing(self) -> None:
        if self._receiver is not None:
            self._receiver.pause_sending()

    def resume_writing(self) -> None:
        if self._receiver is not None:
            self._receiver.resume_sending()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            if self._phase is Phase.OPEN:
                receiver.closing()
            receiver.closed(
                clean=self._core.close_rcvd is not None and self._core.close_sent is not None
            )
        self._phase = Phase.CLOSING
        self._gate.lost(self)

    def _up_to_end_of_request(self, data: bytes) -> bytes:
        """Keep what comes behind the request for later: the core would take it before the 101."""
        seen = len(self._early)
        end = (self._early + data).find(b"\r\n\r\n")
        if end < 0:
            self._early = (self._early + data)[-3:]
            return data
        size = end + 4 - seen
        self._early = data[size:]
        return data[:size]

    def _knock(self, request: Request) -> None:
        response = self._core.accept(request)
        self._phase = Phase.DECIDING
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            if response.status_code == HTTPStatus.BAD_REQUEST:
                # The core's own text quotes the header, and a header may hold a token.
                name = getattr(self._core.handshake_exc, "name", "request")
                words = f"not a WebSocket handshake: {name} is missing or wrong\n"
                response = self._core.reject(HTTPStatus.BAD_REQUEST, words)
            self._core.send_response(response)
            self._end()
            return
        self._response = response
        # Nothing more is read until the decision, so that what a client sends early
        # waits in the kernel.
        self.transport.pause_reading()
        self._gate.knock(self, request)

    def _frame(self, frame: Frame) -> None:
        receiver = self._receiver
        assert receiver is not None
        opcode = frame.opcode
        if opcode is Opcode.TEXT and frame.fin:
            receiver.message(frame.data)  # type: ignore[arg-type]
        elif opcode is Opcode.TEXT or opcode is Opcode.BINARY:
            if frame.fin:
                receiver.binary()
            else:
                self._is_binary = opcode is Opcode.BINARY
                self._fragments = bytearray(frame.data)
        elif opcode is Opcode.CONT:
            assert self._fragments is not None
            self._fragments += frame.data
            if frame.fin:
                whole, self._fragments = self._fragments, None
                if self._is_binary:
                    receiver.binary()
                else:
                    receiver.message(whole)
        elif opcode is Opcode.PONG:
            receiver.pong()

    def _end(self) -> None:
        """Nothing is sent but what the core still has to say; the connection ends
        within a bounded time."""
        self._phase = Phase.CLOSING
        self._cancel_timer()
        self._timer = self._loop.call_later(CLOSE_SECONDS, self.transport.abort)
        if self._receiver is not None:
            self._receiver.closing()
        self._flush()
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _flush(self) -> None:
        transport = self.transport
        for data in self._core.data_to_send():
            if transport.is_closing():
                return
            if transport.get_write_buffer_size() > UNSENT_BYTES:
                transport.abort()
                return
            if data is SEND_EOF or not data:
                # Half-close and read on: closing at once could reset the connection before the
                # client has read why it was closed.
                if transport.can_write_eof():
                    transport.write_eof()
            else:
                transport.write(data)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
