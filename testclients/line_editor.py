"""One line being typed: keys in, finished lines out. Pure; `screen` owns the terminal."""

import unicodedata
from enum import Enum, auto
from typing import Final

MAX_CHARS: Final = 20_000
"""At the limit further characters are dropped; a message is shorter."""


class End(Enum):
    """Ctrl-D on an empty line: there is nothing more to come."""

    END = auto()


class _In(Enum):
    TEXT = auto()
    ESCAPE = auto()
    """After ESC: of an unknown key only the sequence's end is looked for."""
    SEQUENCE = auto()


class LineEditor:
    """Knows backspace, Ctrl-U (all), Ctrl-W (a word) and Ctrl-D; cursor keys do nothing."""

    def __init__(self) -> None:
        self.text = ""
        """What has been typed since the last Enter."""
        self._state = _In.TEXT

    def feed(self, typed: str) -> list[str | End]:
        """The lines that `typed` finishes, in order."""
        finished: list[str | End] = []
        for key in typed:
            if self._state is not _In.TEXT:
                self._escape(key)
            elif key in "\r\n":
                finished.append(self.text)
                self.text = ""
            elif key == "\x04" and not self.text:
                finished.append(End.END)
            else:
                self._edit(key)
        return finished

    def visible(self, prompt: str, columns: int) -> str:
        """Prompt and text in fewer than `columns` cells; a long text is cut in front (`<`)."""
        room = columns - 1 - cells(prompt)
        if cells(self.text) <= room:
            return prompt + self.text
        start = len(self.text)
        used = 1
        while start > 0 and used + _cells_of(self.text[start - 1]) <= room:
            start -= 1
            used += _cells_of(self.text[start])
        return f"{prompt}<{self.text[start:]}"

    def _edit(self, key: str) -> None:
        match key:
            case "\x7f" | "\b":
                self.text = self.text[:-1]
            case "\x15":
                self.text = ""
            case "\x17":
                words = self.text.rstrip()
                self.text = words[: len(words) - len(words.split(" ")[-1])]
            case "\x1b":
                self._state = _In.ESCAPE
            case "\t":
                self._edit(" ")
            case _ if unicodedata.category(key) != "Cc" and len(self.text) < MAX_CHARS:
                self.text += key

    def _escape(self, key: str) -> None:
        if self._state is _In.ESCAPE and key in "[O":
            self._state = _In.SEQUENCE
        elif self._state is _In.ESCAPE or "@" <= key <= "~":
            self._state = _In.TEXT


def cells(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    return sum(_cells_of(character) for character in text)


def _cells_of(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
