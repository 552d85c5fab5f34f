"""Where lines are printed while another is being typed.

On a terminal that can clear a line, `EditedScreen` keeps what is being typed at the bottom and
prints above it. Anything else (a dumb terminal, output into a pipe) gets `PlainScreen`, which
leaves editing to the terminal.
"""

import asyncio
import codecs
import os
import shutil
import signal
import sys
import termios
import tty
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, Self

from testclients.line_editor import End, LineEditor
from testclients.lines import LineReader, readable

_CLEAR_LINE: Final = "\r\x1b[K"
_CHUNK_BYTES: Final = 4096


class Screen(Protocol):
    """A context manager: leaving it gives the terminal back as it was."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None: ...

    def show(self, text: str) -> None:
        """Print a line (or several)."""

    def status(self, text: str) -> None:
        """What stands in front of the prompt from now on, where that can be shown."""

    def watch_typing(self, typed: Callable[[str], None]) -> None:
        """Tell of what is being typed, with every change, where that can be seen."""

    async def read(self, prompt: str) -> str | None:
        """The next line typed; None when there will be none."""


def make_screen() -> Screen:
    """The best for standard input, which is a terminal, and standard output, which may be none."""
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return EditedScreen(sys.stdin.fileno())
    return PlainScreen(sys.stdin.fileno())


class PlainScreen:
    def __init__(self, fd: int) -> None:
        self._lines = LineReader(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        pass

    def show(self, text: str) -> None:
        print(text, flush=True)

    def status(self, text: str) -> None:
        pass

    def watch_typing(self, typed: Callable[[str], None]) -> None:
        pass

    async def read(self, prompt: str) -> str | None:
        return await self._lines.next()


class EditedScreen:
    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._saved = termios.tcgetattr(fd)
        self._editor = LineEditor()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._finished: deque[str | End] = deque()
        """Lines typed ahead; nothing more is read while there are any."""
        self._prompt: str | None = None
        """None while no line is wanted: nothing that is typed then is shown yet."""
        self._status = ""
        self._typed: Callable[[str], None] = lambda text: None

    def __enter__(self) -> Self:
        tty.setcbreak(self._fd)
        # A shell resets the terminal when the program is stopped with Ctrl-Z.
        asyncio.get_running_loop().add_signal_handler(signal.SIGCONT, self._resume)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCONT)
        if self._prompt is not None:
            self._write("\n")
        termios.tcsetattr(self._fd, termios.TCSADRAIN, self._saved)

    def show(self, text: str) -> None:
        if self._prompt is None:
            self._write(f"{text}\n")
        else:
            self._write(f"{_CLEAR_LINE}{text}\n{self._line(self._prompt)}")

    def status(self, text: str) -> None:
        if text != self._status:
            self._status = text
            self._redraw()

    def watch_typing(self, typed: Callable[[str], None]) -> None:
        self._typed = typed

    async def read(self, prompt: str) -> str | None:
        if not self._finished:
            self._prompt = prompt
            self._redraw()
        while not self._finished:
            await readable(self._fd)
            typed = os.read(self._fd, _CHUNK_BYTES)
            self._finished += self._editor.feed(self._decoder.decode(typed)) if typed else [End.END]
            self._typed(self._editor.text)
            self._redraw()
        line = self._finished.popleft()
        if isinstance(line, End):
            return None
        self._write(_CLEAR_LINE)
        self._prompt = None
        return line

    def _resume(self) -> None:
        tty.setcbreak(self._fd)
        self._redraw()

    def _redraw(self) -> None:
        if self._prompt is not None:
            self._write(_CLEAR_LINE + self._line(self._prompt))

    def _line(self, prompt: str) -> str:
        status = f"({self._status}) " if self._status else ""
        return self._editor.visible(status + prompt, shutil.get_terminal_size().columns)

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
