"""A loop whose time stands still until the test moves it: for timers, without waiting for them."""

import asyncio
import functools
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, ParamSpec

from tests.support.loop import SECONDS
from tests.support.running import turns

P = ParamSpec("P")

_STEP_SECONDS: Final = 0.25
"""A power of two: so many steps make exactly the time that was asked for."""


class HandLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._now = 1_000.0
        super().__init__()

    def time(self) -> float:
        return self._now

    def move(self, seconds: float) -> None:
        self._now += seconds


async def pass_seconds(seconds: float) -> None:
    """Let time go by; what its timers began on the loop is done, but for what waits
    for a thread."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, HandLoop)
    steps = seconds / _STEP_SECONDS
    assert steps == int(steps), f"time goes in steps of {_STEP_SECONDS} s"
    for _ in range(int(steps)):
        loop.move(_STEP_SECONDS)
        await turns()


def on_a_hand_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run the test on such a loop in debug mode; its parameters stay fixtures. Nothing on it may
    wait for time to pass by itself."""

    @functools.wraps(test)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        async def watched() -> None:
            task, loop = asyncio.current_task(), asyncio.get_running_loop()
            assert task is not None
            # What hangs is a failure that says where.
            watch = threading.Timer(SECONDS, loop.call_soon_threadsafe, (task.cancel,))
            watch.start()
            try:
                await test(*args, **kwargs)
            finally:
                watch.cancel()

        with asyncio.Runner(debug=True, loop_factory=HandLoop) as runner:
            runner.run(watched())

    return wrapped
