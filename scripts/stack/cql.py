"""One question to Cassandra in its own protocol (version 4): does the answer come?"""

import socket
import ssl
import struct
from enum import IntEnum
from typing import Final

from scripts.stack.probe import connection, read_exactly

_HEADER: Final = struct.Struct(">BBhBi")
_REQUEST_VERSION: Final = 0x04
_CQL_VERSION: Final = {"CQL_VERSION": "3.0.0"}
_SECONDS: Final = 5
"""A question to all replicas takes as long as Cassandra waits for one that has just died."""


class Opcode(IntEnum):
    ERROR = 0x00
    STARTUP = 0x01
    READY = 0x02
    AUTHENTICATE = 0x03
    QUERY = 0x07
    RESULT = 0x08
    AUTH_RESPONSE = 0x0F
    AUTH_SUCCESS = 0x10


class Consistency(IntEnum):
    ONE = 0x01
    ALL = 0x05


def answers(
    host: str,
    port: int,
    query: str,
    consistency: Consistency,
    credentials: tuple[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> bool:
    """Whether the query has a result. `credentials` are user and password."""
    try:
        with connection(host, port, tls, _SECONDS) as server:
            opcode = _ask(server, Opcode.STARTUP, string_map(_CQL_VERSION))
            if opcode == Opcode.AUTHENTICATE and credentials is not None:
                token = "\0" + "\0".join(credentials)
                opcode = _ask(server, Opcode.AUTH_RESPONSE, long_string(token))
            if opcode not in (Opcode.READY, Opcode.AUTH_SUCCESS):
                return False
            question = long_string(query) + struct.pack(">HB", consistency, 0)
            return _ask(server, Opcode.QUERY, question) == Opcode.RESULT
    except OSError:
        return False


def frame(opcode: int, body: bytes) -> bytes:
    """A request on stream 0."""
    return _HEADER.pack(_REQUEST_VERSION, 0, 0, opcode, len(body)) + body


def string_map(values: dict[str, str]) -> bytes:
    """The protocol's [string map]."""
    encoded = [text.encode() for pair in values.items() for text in pair]
    return struct.pack(">H", len(values)) + b"".join(
        struct.pack(">H", len(text)) + text for text in encoded
    )


def long_string(text: str) -> bytes:
    """The protocol's [long string], and its [bytes]."""
    encoded = text.encode()
    return struct.pack(">i", len(encoded)) + encoded


def _ask(server: socket.socket, opcode: int, body: bytes) -> int:
    """The opcode of the answer; what it says does not matter. Raises OSError."""
    server.sendall(frame(opcode, body))
    *_, answer, length = _HEADER.unpack(read_exactly(server, _HEADER.size))
    read_exactly(server, length)
    return int(answer)
