"""The mark inside the content of every message, by which a reader finds it in the raw stream.

`~` + 7 digits, the message's number + 11 digits, the microsecond of its sending since the run's
beginning + `~`. The width is fixed, so that a mark is read with one slice and one conversion; the
two together are a mark's *value*. The clock is CLOCK_MONOTONIC, the same in all processes.
"""

from typing import Final

SIGN: Final = b"~"
NUMBER: Final = 10**11
"""What the number is multiplied with in a value."""
DIGITS: Final = 18
WIDTH: Final = DIGITS + 2
MAX_NUMBER: Final = 10**7 - 1


def content(number: int, sent_us: int, padding: str) -> str:
    """The content of message `number`: its mark and the padding."""
    return f"~{number:07d}{sent_us:011d}~{padding}"


def padding(size: int) -> str:
    """What follows the mark in content of `size` bytes, which is never shorter than the mark."""
    return "x" * max(size - WIDTH, 0)
