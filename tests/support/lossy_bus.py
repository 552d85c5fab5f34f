"""A proxy before Redis that loses, delays and mixes up what is published; all else gets through.

    with LossyBus.before(service("redis")["CHATD_REDIS_URL"]) as proxy:
        url = proxy.url
        proxy.loses_all = True      # for a while, instead of one in a hundred
        proxy.lost, proxy.late      # how many were lost, and how many came later than others

As for every Proxy, it can be stalled and cut too. A client notices nothing: in the place of each
PUBLISH an empty one to a channel that nobody hears goes to Redis, so that every command has its
reply. What was published is published later by the proxy, or never.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Final

from hiredis import Reader

from tests.support.proxy import Proxy

LOST_IN: Final = 100
"""One publish of so many is lost."""
_LATE_IN: Final = 10
"""One of so many comes later than the log is waited for."""
_SOON_SECONDS: Final = 0.02
_LATE_SECONDS: Final = 0.3
_PUBLISH: Final = b"PUBLISH"


def _pack(command: Sequence[bytes]) -> bytes:
    words = [b"$%d\r\n%b\r\n" % (len(word), word) for word in command]
    return b"*%d\r\n%b" % (len(words), b"".join(words))


_NOTHING: Final = _pack((_PUBLISH, b"nobody hears this", b""))


class LossyBus(Proxy):
    """What is lost and how long each takes is drawn from a seed; the timing is the machine's."""

    def __init__(self, host: str, port: int, seed: str = "0") -> None:
        super().__init__(host, port)
        self.loses_all = False
        self.lost = 0
        self.late = 0
        self._draw = random.Random(seed)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_open: asyncio.Event
    ) -> None:
        if is_open is not self._requests:
            await super()._pump(reader, writer, is_open)
            return
        ignored, publisher = await asyncio.open_connection(*self._target)
        replies = self._loop.create_task(_ignore(ignored))
        try:
            commands = _Commands(reader, lambda command: self._instead(command, publisher))
            await super()._pump(commands, writer, is_open)
        finally:
            publisher.close()
            replies.cancel()
            await asyncio.gather(replies, return_exceptions=True)

    def _instead(self, command: list[bytes], publisher: asyncio.StreamWriter) -> bytes:
        """What goes to Redis in a command's place."""
        packed = _pack(command)
        if command[0].upper() != _PUBLISH:
            return packed
        if self.loses_all or not self._draw.randrange(LOST_IN):
            self.lost += 1
        else:
            is_late = not self._draw.randrange(_LATE_IN)
            self.late += is_late
            seconds = self._draw.uniform(0, _LATE_SECONDS if is_late else _SOON_SECONDS)
            self._loop.call_later(seconds, _send, publisher, packed)
        return _NOTHING


class _Commands(asyncio.StreamReader):
    """The commands that another reader reads, each replaced."""

    def __init__(
        self, reader: asyncio.StreamReader, replaced: Callable[[list[bytes]], bytes]
    ) -> None:
        super().__init__()
        self._reader = reader
        self._replaced = replaced
        self._parser = Reader()

    async def read(self, n: int = -1) -> bytes:
        """As the other's; nothing before a command is whole."""
        found = b""
        while not found:
            data = await self._reader.read(n)
            if not data:
                return b""
            self._parser.feed(data)
            while (command := self._parser.gets()) is not False:
                found += self._replaced(command)
        return found


async def _ignore(reader: asyncio.StreamReader) -> None:
    while await reader.read(65_536):
        pass


def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not writer.is_closing():
        writer.write(data)
