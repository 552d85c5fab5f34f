"""Does a server answer its clients? Asked in its own protocol, without a driver."""

import http.client
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_SECONDS: Final = 2
_POSTGRES_PROTOCOL: Final = 196_608
_POSTGRES_TLS_REQUEST: Final = struct.pack(">ii", 8, 80_877_103)
_POSTGRES_TERMINATE: Final = b"X" + struct.pack(">i", 4)
_KAFKA_API_VERSIONS: Final = struct.pack(">ihhih", 10, 18, 0, 1, -1)


@contextmanager
def connection(
    host: str, port: int, tls: ssl.SSLContext | None = None, seconds: float = _SECONDS
) -> Iterator[socket.socket]:
    """A connection whose every step may take this long. Raises OSError."""
    with socket.create_connection((host, port), timeout=seconds) as plain:
        if tls is None:
            yield plain
        else:
            with tls.wrap_socket(plain, server_hostname=host) as wrapped:
                yield wrapped


def read_exactly(source: socket.socket, count: int) -> bytes:
    """Raises OSError: the peer has closed before."""
    read = b""
    while len(read) < count:
        part = source.recv(count - len(read))
        if not part:
            raise ConnectionError("the server has closed the connection")
        read += part
    return read


def redis_answers(
    host: str, port: int, password: str = "", tls: ssl.SSLContext | None = None
) -> bool:
    """Whether PING gets PONG: it has loaded its data, and the password is right."""
    login = f"AUTH {password}\r\n".encode() if password else b""
    try:
        with connection(host, port, tls) as server:
            server.sendall(login + b"PING\r\n")
            expected = (b"+OK\r\n" if login else b"") + b"+PONG\r\n"
            return read_exactly(server, len(expected)) == expected
    except OSError:
        return False


def postgres_answers(
    host: str, port: int, user: str, database: str, tls: ssl.SSLContext | None = None
) -> bool:
    """Whether it lets the user begin to log in: it has started, and role and database exist."""
    names = b"\0".join((b"user", user.encode(), b"database", database.encode())) + b"\0\0"
    startup = struct.pack(">ii", 8 + len(names), _POSTGRES_PROTOCOL) + names
    try:
        with socket.create_connection((host, port), timeout=_SECONDS) as plain:
            if tls is None:
                return _begins_login(plain, startup)
            plain.sendall(_POSTGRES_TLS_REQUEST)
            if read_exactly(plain, 1) != b"S":
                return False
            with tls.wrap_socket(plain, server_hostname=host) as wrapped:
                return _begins_login(wrapped, startup)
    except OSError:
        return False


def _begins_login(server: socket.socket, startup: bytes) -> bool:
    server.sendall(startup)
    kind = read_exactly(server, 1)
    server.sendall(_POSTGRES_TERMINATE)
    return kind == b"R"


def kafka_answers(host: str, port: int) -> bool:
    """Whether the broker lists what it can do, without an error."""
    try:
        with connection(host, port) as server:
            server.sendall(_KAFKA_API_VERSIONS)
            _, correlation, error = struct.unpack(">iih", read_exactly(server, 10))
            return bool(correlation == 1 and error == 0)
    except OSError:
        return False


def http_answers(host: str, port: int, path: str) -> bool:
    """Whether GET gets 200."""
    client = http.client.HTTPConnection(host, port, timeout=_SECONDS)
    try:
        client.request("GET", path)
        return client.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        client.close()
