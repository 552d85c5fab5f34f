"""What waits for members who are away: noted in mailboxes, and their webhooks told."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

from chatd.errors import BackendError
from chatd.fabric.offline_queue import OfflineJob, OfflineQueue, PushJob
from chatd.fabric.presence_leases import PresenceLeases
from chatd.stores.conversation_store import ConversationStore

_MEMBERS_AT_ONCE: Final = 1_000


async def online_of(leases: PresenceLeases, usernames: Sequence[str]) -> set[str]:
    """Those of the users who are online. Raises BackendError: it is not known who is."""
    online = await leases.online(usernames)
    if not leases.is_known:
        raise BackendError("it is not known who is online")
    return online


class Mailboxes:
    def __init__(
        self,
        conversations: ConversationStore,
        leases: PresenceLeases,
        queue: OfflineQueue,
        wanting: Callable[[Collection[str]], Awaitable[Collection[str]]],
    ) -> None:
        """`wanting` picks the users who have a webhook to be told."""
        self._conversations = conversations
        self._leases = leases
        self._queue = queue
        self._wanting = wanting

    async def note(self, job: OfflineJob) -> None:
        """Note the job's events in the mailboxes of the members who are away and have not
        got them, and have pushes made to those who want them. May be repeated.

        Raises:
            BackendError: a store, the leases or the queue failed.
        """
        conversation_id, first, last = job
        after = ""
        while True:
            behind = await self._conversations.behind(
                conversation_id, last, after=after, limit=_MEMBERS_AT_ONCE
            )
            usernames = [username for username, _ in behind]
            online = await online_of(self._leases, usernames)
            away = [username for username in usernames if username not in online]
            if away:
                wanting = await self._wanting(away)
                # The mailboxes last: a job that ended before them is found by the sweep.
                await self._queue.push([PushJob(name, conversation_id) for name in wanting])
                await self._conversations.add_to_mailboxes(conversation_id, away, first, last)
            if len(behind) < _MEMBERS_AT_ONCE:
                return
            after = usernames[-1]
