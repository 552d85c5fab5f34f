"""The server's processes are killed with -9 now and then, and started again on the same data."""

import asyncio
import random
from collections.abc import Sequence
from typing import Final

from tests.checker.history import History, Killed, Restarted
from tests.checker.plan import Options
from tests.support.node import Node

_ALL_AT_ONCE: Final = 0.2
"""How often it is not one of several nodes, but every one."""


class Killing:
    """Trouble for one node; or for several, one of which is killed at a time, or all."""

    def __init__(
        self, node: Node, options: Options, seed: str, *, others: Sequence[Node] = ()
    ) -> None:
        self._nodes = [node, *others]
        self._options = options
        self._draw = random.Random(f"{seed}/kills")

    async def make(self, history: History, stop: asyncio.Event) -> None:
        while True:
            try:
                async with asyncio.timeout(self._draw.uniform(*self._options.kill_after)):
                    await stop.wait()
                return
            except TimeoutError:
                pass
            await asyncio.gather(*(self._kill(number, history) for number in self._doomed()))

    def _doomed(self) -> Sequence[int]:
        everyone = range(len(self._nodes))
        if len(everyone) == 1 or self._draw.random() < _ALL_AT_ONCE:
            return everyone
        return [self._draw.choice(everyone)]

    async def _kill(self, number: int, history: History) -> None:
        # Not on the loop: the clients must go on while the process dies and comes back.
        await asyncio.to_thread(self._nodes[number].kill)
        history.add(Killed(at=history.now(), node=number))
        await asyncio.to_thread(self._nodes[number].start)
        history.add(Restarted(at=history.now(), node=number))
