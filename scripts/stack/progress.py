"""Lines on stderr while the work goes on; stdout is for the result."""

import sys


def say(name: str, text: str) -> None:
    """One line about one service; whole, whichever thread says it."""
    sys.stderr.write(f"{name}: {text}\n")
    sys.stderr.flush()
