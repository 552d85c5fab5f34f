"""Port OfflineQueue: work for members who are away, done later and perhaps by another process.

Never the truth: what somebody lacks is told by the head against the cursor, so a job that is lost
is no loss. A job may be done twice. Jobs hold ids and nothing else.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol


class OfflineJob(NamedTuple):
    """Events of a conversation came; some of its members may be away."""

    conversation_id: str
    first: int
    last: int


class PushJob(NamedTuple):
    """Something waits for a user in a conversation: its webhook is to be told."""

    username: str
    conversation_id: str


class TryAgain(Exception):
    """A job cannot be done now and may be later; the message says why, in one line."""


class Handlers(NamedTuple):
    """What does the jobs. Each may raise BackendError; a push also TryAgain."""

    note: Callable[[OfflineJob], Awaitable[None]]
    push: Callable[[PushJob], Awaitable[None]]


class OfflineQueue(Protocol):
    async def start(self, handlers: Handlers) -> None:
        """Begin. Where another process does the jobs, the handlers are not called."""
        ...

    async def stop(self) -> None:
        """Do what waits in this process, or hand it over, within a bounded time, and stop."""
        ...

    def enqueue(self, jobs: Sequence[OfflineJob]) -> None:
        """Have the jobs done soon. Nobody waits for it; what there is no room for, or no way to
        hand over, is dropped and counted."""
        ...

    async def push(self, jobs: Sequence[PushJob]) -> None:
        """Have the pushes made: at once, or when the queue's pause has passed since the last of
        the same user and conversation began. At most one of them waits; what comes meanwhile is
        left to it. One that fails is tried again a few times, after ever longer pauses.

        Raises:
            BackendError: some of the pushes were not taken.
        """
        ...
