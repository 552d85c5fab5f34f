"""The WebhookSender on aiohttp.

What a name leads to is decided where the socket is made: whoever answered the question for the
address, and however the host was written, nothing is connected to that is not allowed.

A host that did not answer `FAILURES` times in a row is left alone for `PAUSE_SECONDS`, so that it
cannot hold up the others. Limits: `HOSTS` are remembered, `CONNECTIONS` are open (`A_HOST` to one
host that a user chose), a call takes at most `SECONDS`, of the answer one piece is read.
"""

import asyncio
import functools
import socket as sockets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import aiohttp
from aiohttp.abc import AbstractCookieJar, AbstractResolver, ResolveResult
from yarl import URL

from chatd import __version__
from chatd.fabric.offline_queue import TryAgain
from chatd.fabric.webhook_sender import AddressRefused
from chatd.public_address import is_allowed

SECONDS: Final = 5.0
CONNECTIONS: Final = 256
A_HOST: Final = 16
ANSWER_BYTES: Final = 4_096
FAILURES: Final = 3
PAUSE_SECONDS: Final = 30.0
HOSTS: Final = 10_000

LOOKUPS: Final = 32
"""Names that are asked for at a time."""

_AddressInfo = tuple[int, int, int, str, tuple[object, ...]]


class AiohttpWebhookSender:
    """See the port. Used on one loop, within which it is made."""

    def __init__(self, allow: Sequence[str]) -> None:
        """`allow` are networks that anybody's URL may lead to though they are not public."""
        self._allow = allow
        self._names = _Names()
        self._trusted = _session(aiohttp.TCPConnector(limit=CONNECTIONS, resolver=self._names))
        self._others = _session(
            aiohttp.TCPConnector(
                limit=CONNECTIONS,
                limit_per_host=A_HOST,
                resolver=self._names,
                socket_factory=self._socket,
            )
        )
        self._hosts: dict[tuple[bool, URL], _Host] = {}

    async def close(self) -> None:
        await self._trusted.close()
        await self._others.close()
        await self._names.close()

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, is_trusted: bool
    ) -> int:
        where = _opened(url)
        host = self._host(is_trusted, where.origin())
        loop = asyncio.get_running_loop()
        if loop.time() < host.paused_until:
            raise TryAgain(f"{where.host} did not answer lately")
        session = self._trusted if is_trusted else self._others
        try:
            async with (
                asyncio.timeout(SECONDS),
                session.post(
                    where, data=body, headers=dict(headers), allow_redirects=False
                ) as response,
            ):
                # An answer that is not read to its end costs the connection, and nothing else.
                await response.content.read(ANSWER_BYTES)
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, _Refused):
                raise AddressRefused(f"{where.host} has no address that is allowed") from None
            host.failed(loop.time())
            raise TryAgain(f"{where.host} cannot be reached: {error.os_error}") from None
        except TimeoutError:
            host.failed(loop.time())
            raise TryAgain(f"{where.host} did not answer within {SECONDS:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            host.failed(loop.time())
            raise TryAgain(f"{where.host} gave no answer: {type(error).__name__}") from None
        host.answered()
        return response.status

    def _host(self, is_trusted: bool, origin: URL) -> "_Host":
        key = is_trusted, origin
        host = self._hosts.pop(key, None) or _Host()
        if len(self._hosts) >= HOSTS:
            del self._hosts[next(iter(self._hosts))]
        self._hosts[key] = host
        return host

    def _socket(self, info: _AddressInfo) -> sockets.socket:
        family, kind, protocol, _, address = info
        if not is_allowed(str(address[0]), self._allow):
            raise _Refused
        return sockets.socket(family, kind, protocol)


class _Refused(OSError):
    def __str__(self) -> str:
        # The same for all addresses of a host: then it comes out of the connector as it is.
        return "the address is not allowed"


class _Names(AbstractResolver):
    """Asks for names in threads of its own: names of others' choice, which may take their time,
    keep nobody else waiting."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="webhook names")

    async def resolve(
        self, host: str, port: int = 0, family: sockets.AddressFamily = sockets.AF_INET
    ) -> list[ResolveResult]:
        ask = functools.partial(
            sockets.getaddrinfo, host, port, family=family, type=sockets.SOCK_STREAM
        )
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=int(address[1]),
                family=family,
                proto=protocol,
                flags=sockets.AI_NUMERICHOST | sockets.AI_NUMERICSERV,
            )
            for family, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Host:
    """How a host has answered lately."""

    __slots__ = ("failures", "paused_until")

    def __init__(self) -> None:
        self.failures = 0
        """In a row."""
        self.paused_until = 0.0

    def answered(self) -> None:
        self.failures = 0

    def failed(self, now: float) -> None:
        self.failures += 1
        if self.failures >= FAILURES:
            self.paused_until = now + PAUSE_SECONDS


def _opened(url: str) -> URL:
    """The URL as it is written, signed paths and all. Raises AddressRefused: it is none."""
    try:
        if not url.isascii() or not url.isprintable() or " " in url:
            raise ValueError(url)
        opened = URL(url, encoded=True)
        _ = opened.origin(), opened.port
    except ValueError as error:
        raise AddressRefused("it is not a URL") from error
    return opened


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    cookies: AbstractCookieJar = aiohttp.DummyCookieJar()
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=cookies,
        # Nothing is unpacked: a small answer stays small.
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None),
        headers={"User-Agent": f"chatd/{__version__}"},
    )
