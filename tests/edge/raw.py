"""RFC 6455 by hand, from the client's side: what no library sends, and exactly what is answered."""

import asyncio
import base64
import hashlib
import os
import socket as sockets
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, Self

CONT: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

_ACCEPT_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Answer(NamedTuple):
    """A response to an upgrade request."""

    status: int
    headers: dict[str, str]
    """By name in lower case."""
    body: bytes


class Frame(NamedTuple):
    opcode: int
    payload: bytes

    @property
    def code(self) -> int | None:
        """The code of a close frame; None when it has none."""
        assert self.opcode == CLOSE
        return int.from_bytes(self.payload[:2], "big") if self.payload else None


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    masked: bool = True,
    mask: bytes | None = None,
) -> bytes:
    """The bytes of a client's frame; `reserved` are the three reserved bits as a number, `mask`
    is random unless given."""
    size = len(payload)
    head = bytes([fin << 7 | reserved << 4 | opcode])
    mask_bit = masked << 7
    if size < 126:
        head += bytes([mask_bit | size])
    elif size < 65_536:
        head += bytes([mask_bit | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([mask_bit | 127]) + size.to_bytes(8, "big")
    if not masked:
        return head + payload
    mask = mask or os.urandom(4)
    pad = (mask * (size // 4 + 1))[:size]
    masked_payload = int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")
    return head + mask + masked_payload.to_bytes(size, "big")


def close(code: int | None = 1000, reason: bytes = b"") -> bytes:
    """A client's close frame; with None one that has no code."""
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


def new_key() -> str:
    return base64.b64encode(os.urandom(16)).decode()


def accept_of(key: str) -> str:
    """What the server must answer to a key."""
    return base64.b64encode(hashlib.sha1(key.encode() + _ACCEPT_GUID).digest()).decode()


def upgrade(
    path: str = "/", headers: Mapping[str, str] | None = None, *, key: str | None = None
) -> bytes:
    """A minimal upgrade request; `headers` replace or add."""
    return request(
        path,
        {
            "Host": "127.0.0.1",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key or new_key(),
        }
        | dict(headers or {}),
    )


def request(path: str, headers: Mapping[str, str], method: str = "GET") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {text}" for name, text in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def halves(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every way to cut bytes in two."""
    for position in range(1, len(data)):
        yield data[:position], data[position:]


class RawClient:
    """A TCP connection that reads HTTP and frames. For `async with`: cut on leaving."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int, *, reads_ahead: bool = True) -> Self:
        """Without `reads_ahead` next to nothing is read from the socket that no method asks for."""
        sock = sockets.socket()
        if not reads_ahead:
            sock.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        limit = 2**20 if reads_ahead else 2048
        return cls(*await asyncio.open_connection(sock=sock, limit=limit))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    async def send(self, *data: bytes) -> None:
        """Hand the bytes to the system, each argument as a packet of its own."""
        for piece in data:
            self.writer.write(piece)
            await self.writer.drain()

    async def open(self, path: str = "/", headers: Mapping[str, str] | None = None) -> Answer:
        """Upgrade, and check that the server is one of RFC 6455."""
        key = new_key()
        await self.send(upgrade(path, headers, key=key))
        answer = await self.answer()
        assert answer.status == 101, answer
        assert answer.headers["sec-websocket-accept"] == accept_of(key)
        return answer

    async def answer(self) -> Answer:
        """The HTTP response; its body too when it is not a switch of protocols."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status_line, *lines = head.rstrip("\r\n").split("\r\n")
        protocol, status, _ = status_line.split(" ", 2)
        assert protocol == "HTTP/1.1"
        headers: dict[str, str] = {}
        for line in lines:
            name, _, text = line.partition(":")
            assert name.lower() not in headers, f"{name} was sent twice"
            headers[name.lower()] = text.strip()
        size = int(headers.get("content-length", 0)) if status != "101" else 0
        return Answer(int(status), headers, await self.reader.readexactly(size))

    async def frame(self) -> Frame:
        """The server's next frame, which must be whole and neither masked nor compressed."""
        first, second = await self.reader.readexactly(2)
        assert first & 0x80, "the server sends no fragments"
        assert not first & 0x70, "no extension was negotiated"
        assert not second & 0x80, "a server does not mask"
        size = second
        if size == 126:
            size = int.from_bytes(await self.reader.readexactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await self.reader.readexactly(8), "big")
        return Frame(first & 0x0F, await self.reader.readexactly(size))

    async def frames(self, count: int) -> tuple[list[bytes], list[bytes]]:
        """The next frames: texts and pongs. Which of the two goes first nobody promises."""
        frames = [await self.frame() for _ in range(count)]
        assert {frame.opcode for frame in frames} <= {TEXT, PONG}
        return (
            [frame.payload for frame in frames if frame.opcode == TEXT],
            [frame.payload for frame in frames if frame.opcode == PONG],
        )

    async def text(self) -> bytes:
        frame = await self.frame()
        assert frame.opcode == TEXT, frame
        return frame.payload

    async def close_code(self) -> int | None:
        """The code of the server's close frame, which must be next and the last that comes."""
        code = (await self.frame()).code
        await self.end()
        return code

    async def cut(self) -> bytes:
        """The server ends the connection, in order or not; what it sent before that."""
        came = bytearray()
        try:
            while data := await self.reader.read(65_536):
                came += data
        except ConnectionResetError:
            pass
        return bytes(came)

    async def end(self) -> None:
        """The server ends the connection, and sends nothing before that."""
        assert await self.reader.read() == b""
