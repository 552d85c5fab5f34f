"""Coroutine functions as tests, each on a loop of its own."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

from tests.support import loop

P = ParamSpec("P")


def on_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run the test on a loop in debug mode; its parameters stay fixtures."""

    @functools.wraps(test)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        loop.run(test(*args, **kwargs), debug=True)

    return wrapped


def on_a_quick_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """The same without debug mode, for tests that do things in thousands."""

    @functools.wraps(test)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        loop.run(test(*args, **kwargs))

    return wrapped


async def turns(count: int = 10) -> None:
    """Let the loop turn some times: what is ready, whatever it leads to, is done."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(claim: Callable[[], bool]) -> None:
    """Wait until something is so that nobody announces."""
    await loop.until(claim, "what the test waits for")
