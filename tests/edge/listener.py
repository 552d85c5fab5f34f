"""`chatd.edge.websocket` alone on a port; its gate and receivers write down what they are told."""

import asyncio
from collections.abc import Callable
from typing import Self

from websockets.http11 import Request

from chatd.edge.websocket import WebSocket
from protocol.framing import text_message

Knocked = Callable[["Listener", WebSocket, Request], None]


class Ear:
    """A Receiver that answers every text with the same text."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket
        self.heard: list[bytes] = []
        """Whole text messages."""
        self.binaries = 0
        self.pongs = 0
        self.pauses = 0
        self.is_closing = False
        self.was_told_in_time = False
        """Whether the transport could still be written to when it was told of the end."""
        self.ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Whether the connection ended cleanly."""

    def message(self, data: bytes | bytearray) -> None:
        self._still_open()
        self.heard.append(bytes(data))
        self.socket.transport.write(text_message(bytes(data)))

    def binary(self) -> None:
        self._still_open()
        self.binaries += 1
        self.socket.transport.write(text_message(b"binary"))

    def pong(self) -> None:
        self._still_open()
        self.pongs += 1
        self.socket.transport.write(text_message(b"pong"))

    def pause_sending(self) -> None:
        self.pauses += 1

    def resume_sending(self) -> None:
        self.pauses -= 1

    def closing(self) -> None:
        self._still_open()
        self.is_closing = True
        self.was_told_in_time = not self.socket.transport.is_closing()

    def closed(self, *, clean: bool) -> None:
        assert self.is_closing, "closing comes before closed"
        self.ended.set_result(clean)

    def _still_open(self) -> None:
        assert not self.is_closing, "nothing but the end comes after closing"


class Listener:
    """A server and the Gate of its connections. For `async with`: it leaves nothing behind."""

    def __init__(self, knocked: Knocked | None = None) -> None:
        """`knocked` decides about upgrades; without it all are accepted, as chat.v1 if offered."""
        self._knocked = knocked or Listener.let_in
        self._server: asyncio.Server | None = None
        self._lost = asyncio.Event()
        self.port = 0
        self.sockets: list[WebSocket] = []
        self.ears: list[Ear] = []
        self.knocks = 0
        self.gone: list[WebSocket] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: WebSocket(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, tb: object) -> None:
        assert self._server is not None
        self._server.close()
        for socket in self.sockets:
            socket.transport.abort()
        if error is None:
            await self.all_lost()
            assert sorted(map(id, self.gone)) == sorted(map(id, self.sockets)), "told once of each"
            assert all(ear.ended.done() for ear in self.ears)

    @property
    def ear(self) -> Ear:
        """The only connection's."""
        (ear,) = self.ears
        return ear

    def let_in(self, socket: WebSocket, request: Request) -> None:
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        ear = Ear(socket)
        self.ears.append(ear)
        socket.accept(ear, "chat.v1" if "chat.v1" in offered else None)
        socket.start_reading()

    async def all_lost(self) -> None:
        """Wait until every connection that came in is gone."""
        while len(self.gone) < len(self.sockets):
            self._lost.clear()
            await self._lost.wait()

    # Gate

    def opened(self, socket: WebSocket) -> None:
        self.sockets.append(socket)

    def knock(self, socket: WebSocket, request: Request) -> None:
        self.knocks += 1
        self._knocked(self, socket, request)

    def lost(self, socket: WebSocket) -> None:
        self.gone.append(socket)
        self._lost.set()


class Undecided:
    """A gate's decision that the test takes when it likes."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[tuple[Listener, WebSocket, Request]] = asyncio.Queue()

    def knocked(self, listener: Listener, socket: WebSocket, request: Request) -> None:
        self._waiting.put_nowait((listener, socket, request))

    async def next(self) -> tuple[WebSocket, Callable[[], None]]:
        """The next socket that knocks, and how to let it in."""
        listener, socket, request = await self._waiting.get()
        return socket, lambda: listener.let_in(socket, request)
