"""What an application has still to take: events in order, other frames, notices.

Taking the next one says that the one before was dealt with: only then is it acked to the server,
so that what a crash takes away comes again. Limit: MAX_HAPPENINGS; then nothing more is read from
the connection, and to the server this is a slow reader.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from testclients.errors import ClientError
from testclients.events import Event
from testclients.notices import Happening

MAX_HAPPENINGS: Final = 10_000


class Inbox:
    def __init__(
        self, consumed: Callable[[Event], None], *, max_happenings: int = MAX_HAPPENINGS
    ) -> None:
        """`consumed` is told of every event that the application has dealt with, in order."""
        self._consumed = consumed
        self._max_happenings = max_happenings
        self._happenings: deque[Happening] = deque()
        self._taken: Happening | None = None
        """What the application deals with now."""
        self._error: ClientError | None = None
        """Why nothing more will come."""
        self._arrived = asyncio.Event()
        self._left = asyncio.Event()

    @property
    def is_full(self) -> bool:
        return len(self._happenings) >= self._max_happenings

    def put(self, happenings: Iterable[Happening]) -> None:
        """Never waits, whatever the limit: they are in order now, and must not be lost."""
        self._happenings.extend(happenings)
        if self._happenings:
            self._arrived.set()

    async def change(self) -> None:
        """Wait until something was taken, or `nudge`."""
        self._left.clear()
        await self._left.wait()

    def nudge(self) -> None:
        self._left.set()

    def end(self, error: ClientError | None) -> None:
        """Nothing more will come, for this reason; None when it may after all."""
        self._error = error
        if error is not None:
            self._arrived.set()

    async def next(self) -> Happening:
        """The oldest happening that was not taken; the one before was dealt with.

        One call at a time.

        Raises:
            ClientError: there is none, and none will come.
        """
        self._settle()
        while not self._happenings:
            if self._error is not None:
                raise self._error
            self._arrived.clear()
            await self._arrived.wait()
        self._taken = self._happenings.popleft()
        self._left.set()
        return self._taken

    def take_all(self) -> list[Happening]:
        """Everything that was not taken; it counts as dealt with."""
        self._settle()
        taken = list(self._happenings)
        self._happenings.clear()
        for self._taken in taken:
            self._settle()
        self._left.set()
        return taken

    def _settle(self) -> None:
        taken, self._taken = self._taken, None
        if isinstance(taken, Event):
            self._consumed(taken)
