"""A proxy that lets a request through and keeps its reply, to lose what a service answered.

with UnheardProxy.before(url) as proxy:
    proxy.keep_reply_to(b"COMMIT")      # the next request with these bytes, and all after it
    await until(lambda: proxy.has_heard, ...)
    proxy.lose()                        # the replies and the connections
"""

import asyncio

from tests.support.proxy import Proxy


class UnheardProxy(Proxy):
    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.has_heard = False
        """The request has come, and goes on to the service."""
        self._words: bytes | None = None

    def keep_reply_to(self, words: bytes) -> None:
        """From the next request with these bytes on, no reply gets through."""
        self.has_heard = False
        self._words = words

    def lose(self) -> None:
        """What was kept is lost with all connections; new ones are as good as any."""
        self.reset()
        self.heal()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_open: asyncio.Event
    ) -> None:
        if is_open is self._requests:
            reader = _Listened(reader, self)
        await super()._pump(reader, writer, is_open)

    def _listen(self, data: bytes) -> None:
        if self._words is not None and self._words in data:
            self._words = None
            self._replies.clear()
            self.has_heard = True


class _Listened(asyncio.StreamReader):
    """What another reader reads, and the proxy hears."""

    def __init__(self, reader: asyncio.StreamReader, proxy: UnheardProxy) -> None:
        super().__init__()
        self._reader = reader
        self._proxy = proxy

    async def read(self, n: int = -1) -> bytes:
        data = await self._reader.read(n)
        self._proxy._listen(data)
        return data
