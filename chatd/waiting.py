"""A start waits for backends that are not there yet, and not for what waiting does not mend."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from urllib.parse import urlsplit

from loguru import logger

from chatd.errors import BackendAway, BackendError

SECONDS: Final = 30.0
"""How long a start waits for all backends together."""
_ATTEMPT_SECONDS: Final = 10.0
PAUSE_SECONDS: Final = 0.5

T = TypeVar("T")


class Patience:
    """One deadline for everything that a start needs."""

    def __init__(self, seconds: float | None = None) -> None:
        """On the loop; the time begins now. `SECONDS` unless told otherwise."""
        self._seconds = SECONDS if seconds is None else seconds
        self._deadline = asyncio.get_running_loop().time() + self._seconds

    async def reach(self, name: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """What the first attempt returns that does not raise BackendError. `name` is that of the
        backend, with host and port.

        Raises:
            BackendAway: the time is over.
            StartError: of the attempt; it is not repeated.
        """
        time = asyncio.get_running_loop().time
        is_waiting = False
        while True:
            try:
                async with asyncio.timeout_at(min(self._deadline, time() + _ATTEMPT_SECONDS)):
                    return await attempt()
            except TimeoutError:
                reason = "no answer"
            except BackendError as error:
                reason = str(error).removeprefix(f"{name}: ")
            if time() + PAUSE_SECONDS >= self._deadline:
                raise BackendAway(
                    f"{name} was not there for {self._seconds:g} s: {_one_line(reason)}"
                )
            if not is_waiting:
                logger.warning(
                    "waiting up to {:g} s for {}: {}", self._seconds, name, _one_line(reason)
                )
                is_waiting = True
            await asyncio.sleep(PAUSE_SECONDS)


def endpoint(url: str, port: int) -> str:
    """host:port of a URL, and nothing else of it; `port` is that of a URL without one."""
    parts = urlsplit(url)
    host = parts.hostname or "localhost"
    return f"{f'[{host}]' if ':' in host else host}:{parts.port or port}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
