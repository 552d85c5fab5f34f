"""Running a test that awaits."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import uvloop

T = TypeVar("T")

SECONDS: Final = 20.0
"""No test may take longer: what hangs is a failure that says where."""
_POLL_SECONDS: Final = 0.005


def run(main: Coroutine[Any, Any, T], *, seconds: float = SECONDS, debug: bool = False) -> T:
    """Run a test on a uvloop of its own.

    Raises:
        TimeoutError: it was not done within `seconds`.
    """

    async def within_the_time() -> T:
        async with asyncio.timeout(seconds):
            return await main

    return uvloop.run(within_the_time(), debug=debug)


async def until(condition: Callable[[], bool], what: str, *, seconds: float = SECONDS) -> None:
    """Wait for something that announces itself to nobody.

    Raises:
        AssertionError: it is not so within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(_POLL_SECONDS)
