"""What waits for members who are away: noted in mailboxes, never the truth of what is missing.

The hot path does nothing for an absent member: it notes which conversations had events. Once in
`GATHER_SECONDS` that becomes at most one job for each of them, and the job looks who is away.

Limit: `CONVERSATIONS` noted at a time; at the limit new ones are left out.
"""

import asyncio
from typing import Final

from loguru import logger

from chatd.delivery.hub import Hub
from chatd.errors import BackendError
from chatd.fabric.offline_queue import OfflineJob, OfflineQueue
from chatd.fabric.presence_leases import PresenceLeases
from chatd.stores.conversation_store import ConversationStore
from chatd.tasks import TaskOwner

GATHER_SECONDS: Final = 1.0
CONVERSATIONS: Final = 50_000
_MEMBERS_AT_ONCE: Final = 1_000


class Offline:
    def __init__(
        self,
        queue: OfflineQueue,
        conversations: ConversationStore,
        leases: PresenceLeases,
        hub: Hub,
    ) -> None:
        self._queue = queue
        self._conversations = conversations
        self._leases = leases
        self._hub = hub
        self._loop = asyncio.get_running_loop()
        self._noted: dict[str, tuple[int, int]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._tasks = TaskOwner()

    async def start(self) -> None:
        await self._queue.start(self.handle)

    async def stop(self) -> None:
        """Note what there is to note, and stop."""
        if self._timer is not None:
            self._timer.cancel()
            self._begin()
        await self._tasks.finish(GATHER_SECONDS)
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

    async def handle(self, job: OfflineJob) -> None:
        """Note the job's events in the mailboxes of the members who are away and have
        not got them. May be repeated.

        Raises:
            BackendError: the store failed.
        """
        conversation_id, first, last = job
        after = ""
        while True:
            behind = await self._conversations.behind(
                conversation_id, last, after=after, limit=_MEMBERS_AT_ONCE
            )
            usernames = [username for username, _ in behind]
            online = await self._leases.online(usernames) if usernames else set()
            away = [username for username in usernames if username not in online]
            if away:
                await self._conversations.add_to_mailboxes(conversation_id, away, first, last)
            if len(behind) < _MEMBERS_AT_ONCE:
                return
            after = usernames[-1]

    def _begin(self) -> None:
        self._timer = None
        noted, self._noted = self._noted, {}
        jobs = [
            OfflineJob(conversation_id, first, last)
            for conversation_id, (first, last) in noted.items()
            if not self._are_both_here(conversation_id)
        ]
        if jobs:
            self._tasks.start(self._enqueue(jobs), name="offline jobs")

    def _are_both_here(self, conversation_id: str) -> bool:
        room = self._hub.rooms.get(conversation_id)
        return room is not None and room.is_direct and room.users > 1

    async def _enqueue(self, jobs: list[OfflineJob]) -> None:
        try:
            await self._queue.enqueue(jobs)
        except BackendError as error:
            logger.warning("{} offline jobs were not queued: {}", len(jobs), error)
