"""`chatd worker` as a child process."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from tests.support.backends import Backends
from tests.support.node import Node

_SECONDS: Final = 40.0
_POLL_SECONDS: Final = 0.02


async def eventually(claim: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so that has to be asked for."""
    deadline = time.monotonic() + _SECONDS
    while not await claim():
        assert time.monotonic() < deadline, f"not within {_SECONDS:g} s"
        await asyncio.sleep(_POLL_SECONDS)


class Worker(Node):
    """For `with`, as a Node: starts on entering, is killed on leaving if it still runs. It listens
    nowhere."""

    def __init__(
        self, folder: Path, backends: Backends, *, settings: Mapping[str, str] | None = None
    ) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(folder, backends=backends, settings=settings)
        self._arguments = ["worker"]

    def _is_healthy(self) -> bool:
        return "worker is ready" in self.log[self._began :]
