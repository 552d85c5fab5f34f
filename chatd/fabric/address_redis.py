"""Where a Redis is and how it lets chatd in, as a URL of redis-py says it:
`redis://`, `rediss://` (TLS; options `ssl_ca_certs` and so on) or `unix://`."""

import asyncio
from collections.abc import Callable
from ssl import SSLContext

from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import ConnectionPool
from redis.exceptions import RedisError

from chatd.errors import BackendError


class RedisAddress:
    """See the module. As text it has the user, and never the password."""

    def __init__(self, url: str) -> None:
        """
        Raises:
            BackendError: it is no such URL.
        """
        try:
            pool = ConnectionPool.from_url(url)
            connection = pool.make_connection()  # type: ignore[no-untyped-call]
            tls = connection.ssl_context.get() if isinstance(connection, SSLConnection) else None
        except (RedisError, ValueError, TypeError, OSError) as error:
            raise BackendError(f"the URL of Redis cannot be used: {error}") from None
        self._tls: SSLContext | None = tls
        self._host, self._port, self._path = "", 0, ""
        if isinstance(connection, UnixDomainSocketConnection):
            self._path = connection.path
        elif isinstance(connection, Connection):
            self._host, self._port = connection.host, int(connection.port)
        self.database = int(connection.db or 0)
        self.username: str = connection.username or "default"
        self.password: str | None = connection.password

    def __str__(self) -> str:
        place = self._path or f"{self._host}:{self._port}"
        return f"Redis at {place} (user {self.username}, database {self.database})"

    def without_password(self, text: str) -> str:
        """A Redis that does not know a command repeats it, with what is in it."""
        return text.replace(self.password, "***") if self.password else text

    async def open(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        """Connect.

        Raises:
            OSError: also of TLS.
        """
        loop = asyncio.get_running_loop()
        if self._path:
            await loop.create_unix_connection(protocol, self._path)
        else:
            await loop.create_connection(protocol, self._host, self._port, ssl=self._tls)
