"""Services behind proxies are lost now and then, and come back."""

import asyncio
import http.client
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from chatd.readiness import FRESH_SECONDS
from tests.checker.history import Found, History, Lost
from tests.checker.plan import Options
from tests.checker.play import Trouble
from tests.support.node import Node

READY_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.1

Way = tuple[Callable[[], object], Callable[[], object]]
"""What loses a service, and what brings it back; both may block."""


class Losing:
    """Trouble with one service."""

    def __init__(
        self,
        service: str,
        ways: Mapping[str, Way],
        nodes: Sequence[Node],
        options: Options,
        seed: str,
    ) -> None:
        self._service = service
        self._ways = list(ways.values())
        self._nodes = nodes
        self._options = options
        self._draw = random.Random(f"{seed}/{service}")

    async def make(self, history: History, stop: asyncio.Event) -> None:
        while await _passes(self._draw.uniform(*self._options.lost_after), stop):
            lose, find = self._draw.choice(self._ways)
            history.add(Lost(at=history.now(), service=self._service))
            await asyncio.to_thread(lose)
            await _passes(self._draw.uniform(*self._options.lost_for), stop)
            await asyncio.to_thread(find)
            await self._all_ready()
            history.add(Found(at=history.now(), service=self._service))

    async def _all_ready(self) -> None:
        """Until every node that runs says that it has everything."""
        # An answer may be so old.
        await asyncio.sleep(FRESH_SECONDS)
        for node in self._nodes:
            await asyncio.to_thread(_wait_until_ready, node)


class Together:
    """Several troubles at once."""

    def __init__(self, troubles: Sequence[Trouble]) -> None:
        self._troubles = troubles

    async def make(self, history: History, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            for trouble in self._troubles:
                tasks.create_task(trouble.make(history, stop))
            await stop.wait()


async def _passes(seconds: float, stop: asyncio.Event) -> bool:
    """Wait; False when it is to stop before."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return True
    return False


def _wait_until_ready(node: Node) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not _is_ready(node):
        assert time.monotonic() < deadline, (
            f"not ready within {READY_SECONDS:g} s: {node.log[-2000:]}"
        )
        time.sleep(_POLL_SECONDS)


def _is_ready(node: Node) -> bool:
    try:
        status, body = node.get("/readyz")
    except (OSError, http.client.HTTPException):
        # Another trouble has killed it; it asks for everything when it starts.
        return True
    return status == 200 and b'"ready"' in body
