"""Just enough of RFC 6455 for a client that must be cheaper than the server: pure, no I/O.

It believes its own server: frames are not validated, and a text message is taken to be one frame.
"""

import struct
from collections.abc import Mapping
from typing import Final

from bench.markers import DIGITS, SIGN, WIDTH

TEXT: Final = 0x81
CLOSE: Final = 0x88
PING: Final = 0x89
_PONG: Final = 0x8A
_MASKED: Final = 0x80
_KEY: Final = b"\x35\xc2\x5a\x0f"
"""Any key will do: there is no proxy to protect."""
_MAX_SHORT: Final = 125
_HANDSHAKE_KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="


def upgrade(host: str, path: str, headers: Mapping[str, str]) -> bytes:
    """The HTTP request that asks for a WebSocket."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {_HANDSHAKE_KEY}",
        "Sec-WebSocket-Version: 13",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def masked(payload: bytes, opcode: int = TEXT) -> bytes:
    """One frame from a client."""
    size = len(payload)
    if size <= _MAX_SHORT:
        head = bytes((opcode, _MASKED | size))
    elif size < 1 << 16:
        head = struct.pack("!BBH", opcode, _MASKED | 126, size)
    else:
        head = struct.pack("!BBQ", opcode, _MASKED | 127, size)
    # One operation on two long integers masks faster than any loop over bytes.
    key = (_KEY * (size // 4 + 1))[:size]
    body = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return head + _KEY + body.to_bytes(size, "big")


def pong(payload: bytes) -> bytes:
    return masked(payload, _PONG)


def close_reason(payload: bytes) -> str:
    """Code and reason of a close frame, for people."""
    if len(payload) < 2:
        return "without a code"
    return f"{int.from_bytes(payload[:2], 'big')} {payload[2:].decode(errors='replace')}".rstrip()


class Stream:
    """The bytes of one connection from the server, cut into frames."""

    __slots__ = ("control", "end", "_rest", "seen")

    def __init__(self) -> None:
        self.control: list[tuple[int, bytes]] = []
        """Opcode and payload of the control frames that came; whoever answers them takes them."""
        self.seen = b""
        self.end = 0
        """`seen[:end]` are the whole frames of the last `feed`."""
        self._rest = b""
        """The beginning of a frame whose end has not come."""

    def feed(self, data: bytes) -> list[int]:
        """The values of the marks in the frames that `data` completes, in order.

        A text frame may hold several marks, or none. The loop is written out, because it runs for
        every delivery.
        """
        if self._rest:
            data = self._rest + data
        found: list[int] = []
        at = 0
        end = len(data)
        while at + 2 <= end:
            size = data[at + 1]
            body = at + 2
            if size == 126:
                body = at + 4
                if body > end:
                    break
                size = data[at + 2] << 8 | data[at + 3]
            elif size == 127:
                body = at + 10
                if body > end:
                    break
                size = int.from_bytes(data[at + 2 : body], "big")
            after = body + size
            if after > end:
                break
            if data[at] == TEXT:
                mark = data.find(SIGN, body, after)
                while mark >= 0:
                    found.append(int(data[mark + 1 : mark + 1 + DIGITS]))
                    mark = data.find(SIGN, mark + WIDTH, after)
            else:
                self.control.append((data[at], data[body:after]))
            at = after
        self.seen = data
        self.end = at
        self._rest = data[at:]
        return found
