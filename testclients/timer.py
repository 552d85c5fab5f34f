"""The time of the client library, so that tests can turn it by hand."""

import asyncio
from collections.abc import Callable
from typing import Protocol


class Handle(Protocol):
    def cancel(self) -> None:
        """The callback is not called any more; harmless when it was."""


class Timer(Protocol):
    def now(self) -> float:
        """Seconds that only grow, from any start."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Handle:
        """Call back once, from the loop."""


class LoopTimer:
    """The running loop's."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Handle:
        return asyncio.get_running_loop().call_later(seconds, callback)
