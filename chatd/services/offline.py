"""Notes which conversations had events, for the members who are away.

The hot path does nothing for an absent member. Once in `GATHER_SECONDS` what was noted becomes at
most one job for each conversation, and the job looks who is away: `services/mailboxes.py`.

Limit: `CONVERSATIONS` noted at a time; at the limit new ones are left out.
"""

import asyncio
from typing import Final

from chatd.delivery.hub import Hub
from chatd.fabric.offline_queue import Handlers, OfflineJob, OfflineQueue

GATHER_SECONDS: Final = 1.0
CONVERSATIONS: Final = 50_000


class Offline:
    def __init__(self, queue: OfflineQueue, handlers: Handlers, hub: Hub) -> None:
        self._queue = queue
        self._handlers = handlers
        self._hub = hub
        self._loop = asyncio.get_running_loop()
        self._noted: dict[str, tuple[int, int]] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        await self._queue.start(self._handlers)

    async def stop(self) -> None:
        """Note what there is to note, and stop."""
        if self._timer is not None:
            self._timer.cancel()
            self._begin()
        await self._queue.stop()

    def note(self, conversation_id: str, first: int, last: int) -> None:
        """Events of a conversation were released on this node."""
        noted = self._noted.get(conversation_id)
        if noted is not None:
            first = noted[0]
        elif len(self._noted) >= CONVERSATIONS:
            return
        self._noted[conversation_id] = first, last
        if self._timer is None:
            self._timer = self._loop.call_later(GATHER_SECONDS, self._begin)

    def _begin(self) -> None:
        self._timer = None
        noted, self._noted = self._noted, {}
        jobs = [
            OfflineJob(conversation_id, first, last)
            for conversation_id, (first, last) in noted.items()
            if not self._are_both_here(conversation_id)
        ]
        if jobs:
            self._queue.enqueue(jobs)

    def _are_both_here(self, conversation_id: str) -> bool:
        room = self._hub.rooms.get(conversation_id)
        return room is not None and room.is_direct and room.users > 1
