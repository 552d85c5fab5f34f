"""The server's process is killed with -9 now and then, and started again on the same data."""

import asyncio
import random

from tests.checker.history import History, Killed, Restarted
from tests.checker.plan import Options
from tests.support.node import Node


class Killing:
    """Trouble for one node."""

    def __init__(self, node: Node, options: Options, seed: str) -> None:
        self._node = node
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
            # Not on the loop: the clients must go on while the process dies and comes back.
            await asyncio.to_thread(self._node.kill)
            history.add(Killed(at=history.now()))
            await asyncio.to_thread(self._node.start)
            history.add(Restarted(at=history.now()))
