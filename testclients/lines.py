"""Lines from a pipe, a file or a terminal, without a thread and without blocking the loop."""

import asyncio
import os
from typing import Final

from testclients.errors import ClientError

MAX_LINE_BYTES: Final = 20_000
"""More than a message may have, so that the server refuses; escaped it still fits a frame."""
_CHUNK_BYTES: Final = 4096


class BadLine(ClientError):
    """A line is too long, or not UTF-8."""


class LineReader:
    """One reader per file descriptor: what it has read ahead is lost to others."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = bytearray()
        self._is_at_end = False
        self._count = 0

    async def next(self) -> str | None:
        """The next line without its line break; None at the end of the input.

        Raises:
            BadLine
        """
        while b"\n" not in self._buffer and not self._is_at_end:
            if len(self._buffer) > MAX_LINE_BYTES:
                raise BadLine(f"line {self._count + 1} is longer than {MAX_LINE_BYTES} bytes")
            await readable(self._fd)
            chunk = os.read(self._fd, _CHUNK_BYTES)
            self._is_at_end = not chunk
            self._buffer += chunk
        if not self._buffer:
            return None
        line, _, rest = self._buffer.partition(b"\n")
        self._buffer = rest
        self._count += 1
        if len(line) > MAX_LINE_BYTES:
            raise BadLine(f"line {self._count} is longer than {MAX_LINE_BYTES} bytes")
        try:
            return line.removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            raise BadLine(f"line {self._count} is not UTF-8") from None


async def readable(fd: int) -> None:
    """Wait until reading would not block."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(fd, ready.set)
    except PermissionError:
        return  # epoll refuses regular files and /dev/null, which never block
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)
