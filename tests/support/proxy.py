"""A TCP proxy between chatd and a service, to lose the service without touching it.

    with Proxy.before(service("redis")["CHATD_REDIS_URL"]) as proxy:
        url = proxy.url         # the same URL, through the proxy
        proxy.stall()           # nothing gets through, nothing is closed
        proxy.stall_replies()   # requests get through, replies do not
        proxy.cut()             # every connection is reset, new ones are refused
        proxy.reset()           # every connection is reset, new ones are welcome
        proxy.delay(0.2)        # seconds that every chunk takes longer, each way
        proxy.heal()            # everything gets through again, also what waited

It runs on a loop of its own in a thread: its methods may be called from anywhere, and have taken
effect when they return. At most about a MiB waits in it each way; then its peers wait.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import uvloop

_CHUNK_BYTES: Final = 65_536
_CHUNKS: Final = 16
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of a socket that is reset when it is closed."""


class Proxy:
    """For `with`: listens from entering to leaving, on a port of its own."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._url = ""
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._requests = asyncio.Event()
        self._replies = asyncio.Event()
        """Set while that way is open."""
        self._delay = 0.0
        self.port = 0
        self.accepted = 0
        """Connections that were ever made through it."""

    @classmethod
    def before(cls, url: str) -> Self:
        """A proxy to the host and port that a URL names."""
        parts = urlsplit(url)
        assert parts.hostname is not None and parts.port is not None, url
        proxy = cls(parts.hostname, parts.port)
        proxy._url = url
        return proxy

    @property
    def url(self) -> str:
        """The URL of `before`, through the proxy."""
        parts = urlsplit(self._url)
        user, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{user}{at}127.0.0.1:{self.port}").geturl()

    @property
    def connections(self) -> int:
        """Those open through it now."""
        return len(self._writers) // 2

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._open)
        self.heal()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._do(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def heal(self) -> None:
        async def heal() -> None:
            await self._open()
            self._delay = 0.0
            self._requests.set()
            self._replies.set()

        self._do(heal)

    def stall(self) -> None:
        async def stall() -> None:
            self._requests.clear()
            self._replies.clear()

        self._do(stall)

    def stall_replies(self) -> None:
        async def stall() -> None:
            self._replies.clear()

        self._do(stall)

    def delay(self, seconds: float) -> None:
        async def delay() -> None:
            self._delay = seconds

        self._do(delay)

    def cut(self) -> None:
        async def cut() -> None:
            await self._refuse()
            self._reset()

        self._do(cut)

    def reset(self) -> None:
        async def reset() -> None:
            self._reset()

        self._do(reset)

    def _do(self, change: Callable[[], Awaitable[None]]) -> None:
        async def changed() -> None:
            await change()

        asyncio.run_coroutine_threadsafe(changed(), self._loop).result()

    async def _open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _close(self) -> None:
        await self._refuse()
        self._reset()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _reset(self) -> None:
        for writer in self._writers:
            end = writer.get_extra_info("socket")
            # One that its peer has closed already has no option to set.
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        self._writers.clear()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._connect(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            service_reader, service_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, service_writer}
        self._writers |= both
        ways = [
            self._loop.create_task(self._pump(reader, service_writer, self._requests)),
            self._loop.create_task(self._pump(service_reader, writer, self._replies)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._writers -= both
            for one in both:
                one.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_open: asyncio.Event
    ) -> None:
        """Carry one way until its end, which waits for what was sent before it."""
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS)

        async def read() -> None:
            data = b"-"
            while data:
                await is_open.wait()
                try:
                    data = await reader.read(_CHUNK_BYTES)
                except ConnectionError:
                    data = b""
                await chunks.put((self._loop.time() + self._delay, data))

        reading = self._loop.create_task(read())
        try:
            while True:
                due, data = await chunks.get()
                if due > self._loop.time():
                    await asyncio.sleep(due - self._loop.time())
                await is_open.wait()
                if not data:
                    return
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            return
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
