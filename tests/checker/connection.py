"""One socket of a device: it records everything and mends nothing."""

import asyncio
import copy
import socket
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from protocol.codec import encode
from protocol.pushes import Info, Reply, ServerFrame
from protocol.requests import Disconnect, Request
from tests.checker.decisions import End
from tests.checker.history import (
    Answered,
    Asked,
    Connected,
    Connecting,
    Ended,
    Garbled,
    History,
    Overdue,
    ShutOut,
    Told,
    shorten,
)

OPEN_SECONDS: Final = 10.0
CLOSE_SECONDS: Final = 5.0
NARROW_BYTES: Final = 8192
MESSAGE_BYTES: Final = 4 * 1024 * 1024
_FAILED: Final = (OSError, InvalidHandshake, ConnectionClosed, EOFError, TimeoutError)

Hear = Callable[[Request | None, ServerFrame], None]
"""Is given every frame, and the request that a reply names."""

_decode: Final = msgspec.json.Decoder(ServerFrame).decode


class NotOpened(Exception):
    """The server is not there, or did not finish the handshake."""


class Connection:
    """Use `open_connection`."""

    def __init__(self, number: int, ws: ClientConnection, history: History, hear: Hear) -> None:
        self.number = number
        self.unanswered: dict[int, Request] = {}
        """Requests without a reply so far, by the numbers of their records."""
        self.is_open = False
        """INFO came."""
        self.is_over = False
        self._ws = ws
        self._history = history
        self._hear = hear
        self._how = "lost"
        self._awaited: dict[int, Reply | None] = {}
        """Answers that somebody waits for."""
        self._news = asyncio.Event()
        self._listening = asyncio.get_running_loop().create_task(self._listen())

    async def ask(self, request: Request, *, with_ref: bool = True) -> None:
        """Send a request; on a connection that is over, nothing happens but the record."""
        await self._send(self._note(request, with_ref=with_ref)[1])

    async def request(self, request: Request, seconds: float) -> Reply | None:
        """Send a request and wait for its answer; None when there is none within the time."""
        number, request = self._note(request, with_ref=True)
        self._awaited[number] = None
        await self._send(request)
        await self.until(lambda: self._awaited[number] is not None, seconds)
        return self._awaited.pop(number)

    async def until(self, claim: Callable[[], bool], seconds: float) -> bool:
        """Wait for something that only what is heard can make so; whether it is so within the time
        and before the end of the connection."""
        try:
            async with asyncio.timeout(seconds):
                while not claim() and not self.is_over:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass
        return claim()

    async def nap(self, seconds: float) -> None:
        """Read nothing for a while."""
        if not self.is_over:
            self._ws.transport.pause_reading()
            await asyncio.sleep(seconds)
            if not self._ws.transport.is_closing():
                self._ws.transport.resume_reading()

    async def end(self, end: End, *, deaf: float = 0.0) -> None:
        """Go, and read what still comes; for an ABORT, after `deaf` seconds of not reading."""
        if not self.is_over:
            self._how = end.name.lower()
        if end is End.DISCONNECT:
            await self.ask(Disconnect(), with_ref=False)
            await self.until(lambda: self.is_over, CLOSE_SECONDS)
        if end is End.CLOSE:
            await self._ws.close()
        else:
            if deaf and not self.is_over:
                self._ws.transport.pause_reading()
                await asyncio.sleep(deaf)
            self._ws.transport.abort()
        await self._listening

    def note_overdue(self) -> None:
        """Nobody waits longer for the answers that are not there."""
        history, asked = self._history, [*self.unanswered]
        history.add(Overdue(at=history.now(), connection=self.number, asked=asked))

    def _note(self, request: Request, *, with_ref: bool) -> tuple[int, Request]:
        """Record a request; with the number of the record."""
        history = self._history
        number = len(history.records)
        if with_ref:
            request = msgspec.structs.replace(request, ref=str(number))
            self.unanswered[number] = request
        recorded = copy.copy(request)
        shorten(recorded)
        history.add(Asked(at=history.now(), connection=self.number, request=recorded))
        return number, request

    async def _send(self, request: Request) -> None:
        try:
            await self._ws.send(encode(request), text=True)
        except ConnectionClosed:
            pass

    async def _listen(self) -> None:
        history = self._history
        try:
            while True:
                self._take(await self._ws.recv(decode=False))
                self._news.set()
        except ConnectionClosed:
            pass
        finally:
            code = self._ws.close_code or 0
            history.add(Ended(at=history.now(), connection=self.number, how=self._how, code=code))
            self.is_over = True
            self._news.set()

    def _take(self, data: bytes) -> None:
        history, number = self._history, self.number
        try:
            frame = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            problem = f"{error}: {data[:200]!r}"
            history.add(Garbled(at=history.now(), connection=number, problem=problem))
            return
        shorten(frame)
        request = None
        if isinstance(frame, Reply):
            asked = None
            if frame.ref is not None and frame.ref.isdecimal():
                asked = int(frame.ref)
                request = self.unanswered.pop(asked, None)
                if asked in self._awaited:
                    self._awaited[asked] = frame
            history.add(Answered(at=history.now(), connection=number, asked=asked, reply=frame))
        elif isinstance(frame, Info) and not self.is_open:
            self.is_open = True
            history.add(Connected(at=history.now(), connection=number, log_id=frame.log_id))
        else:
            history.add(Told(at=history.now(), connection=number, frame=frame))
        self._hear(request, frame)


async def open_connection(
    url: str,
    token: str,
    history: History,
    *,
    device: str,
    user: str,
    node: int,
    resumes: bool,
    is_narrow: bool,
    hear: Hear,
) -> Connection:
    """Connect to the node with this number and URL, and await INFO. Of a narrow connection the
    kernel buffers little.

    Raises:
        NotOpened
    """
    number = history.add(
        Connecting(
            at=history.now(),
            connection=len(history.records),
            device=device,
            user=user,
            resumes=resumes,
            node=node,
        )
    )
    try:
        sock = await _socket(url, is_narrow=is_narrow)
        ws = await connect(
            f"{url}?resume=1" if resumes else url,
            additional_headers={"Authorization": f"Bearer {token}"},
            compression=None,
            max_size=MESSAGE_BYTES,
            max_queue=None,
            open_timeout=OPEN_SECONDS,
            close_timeout=CLOSE_SECONDS,
            ping_interval=None,
            proxy=None,
            sock=sock,
        )
    except InvalidStatus as error:
        problem = f"HTTP {error.response.status_code}"
        history.add(ShutOut(at=history.now(), connection=number, problem=problem))
        raise NotOpened(problem) from None
    except _FAILED as error:
        history.add(Ended(at=history.now(), connection=number, how="unmade", code=0))
        raise NotOpened(str(error)) from None
    connection = Connection(number, ws, history, hear)
    if not await connection.until(lambda: connection.is_open, OPEN_SECONDS):
        await connection.end(End.ABORT)
        raise NotOpened("no INFO")
    return connection


async def _socket(url: str, *, is_narrow: bool) -> socket.socket:
    address = urlsplit(url)
    assert address.hostname is not None
    sock = socket.socket()
    try:
        sock.setblocking(False)
        if is_narrow:
            # Before connecting: the window is told to the other side then.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW_BYTES)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(OPEN_SECONDS):
            await loop.sock_connect(sock, (address.hostname, address.port or 80))
    except BaseException:
        sock.close()
        raise
    return sock
