"""Port OfflineQueue: work for members who are away, done later and elsewhere.

At most once: a job that is lost is no loss, since what is missing is told by the head against the
cursor. A job may be done twice.
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol


class OfflineJob(NamedTuple):
    """Events of a conversation came; some of its members may be away."""

    conversation_id: str
    first: int
    last: int


Handler = Callable[[OfflineJob], Awaitable[None]]


class OfflineQueue(Protocol):
    async def start(self, handler: Handler) -> None:
        """Begin to have jobs done; the handler may raise BackendError."""
        ...

    async def stop(self) -> None:
        """Do what waits, within a bounded time, and stop."""
        ...

    async def enqueue(self, jobs: list[OfflineJob]) -> None:
        """Have the jobs done soon. Raises BackendError."""
        ...
