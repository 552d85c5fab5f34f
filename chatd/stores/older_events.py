"""What the recent events lack, from the message store, as the recent events have the last word on
it: which messages were deleted, and what else became of them.

Limits: `READS_AT_ONCE` of the reads that come in numbers, others wait; `UNREAD_WITHIN` messages of
a conversation are looked through for unread ones. Every method may raise BackendError.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from loguru import logger

from chatd.events import Event, Message
from chatd.metrics import Metrics
from chatd.stores import history_merging as merging
from chatd.stores.ledger import LAST_MESSAGE_WITHIN, POSTS, Wanted
from chatd.stores.message_store import MessageStore
from chatd.stores.recent_events import Fate, RecentEvents, RecentTail

READS_AT_ONCE: Final = 256
UNREAD_WITHIN: Final = 10_000

T = TypeVar("T")
Place = tuple[str, int]
"""Conversation and number."""


class Found(NamedTuple):
    """A message, what became of it, and the last edit that the message store knows."""

    posted: Event
    fate: Fate
    edit: Event | None = None

    def missing(self) -> Place | None:
        """Where its last edit is, when neither has brought it along."""
        seq = self.fate.edited_seq
        if seq is None or self.fate.edit is not None:
            return None
        is_there = self.edit is not None and self.edit.seq == seq
        return None if is_there else (self.posted.conversation_id, seq)


class OlderPosts(NamedTuple):
    posts: dict[int, str]
    """Senders by number."""
    deleted: dict[int, int]
    """Which of these and others were deleted, and by which events."""
    lowest: int
    """Down to this number it is all of them."""


class OlderTail(NamedTuple):
    """What is to be added to a recent tail."""

    unread: int
    last: Message | None
    """A message that is newer than the recent one."""


class OlderEvents:
    def __init__(self, recent: RecentEvents, store: MessageStore, metrics: Metrics) -> None:
        self._recent = recent
        self._store = store
        self._metrics = metrics
        self._turns = asyncio.Semaphore(READS_AT_ONCE)

    async def read(
        self, conversation_id: str, *, after: int, before: int, limit: int
    ) -> list[Event]:
        """The events with `after < seq < before`, the lowest `limit` of them."""
        events = await self._store.read(conversation_id, after=after, before=before, limit=limit)
        said = {event.seq: message for event in events if (message := merging.said_in(event))}
        if not said:
            return events
        # The message store may not have been told of a delete yet.
        deleted = await self._recent.deleted(
            conversation_id,
            after=events[0].seq - 1,
            before=events[-1].seq + 1,
            also=[message for message in said.values() if message < events[0].seq],
        )
        return [
            merging.blank(event) if said.get(event.seq) in deleted else event for event in events
        ]

    async def posts(
        self, conversation_id: str, *, after: int, up_to: int, limit: int, deleted_after: int = 0
    ) -> OlderPosts:
        """The messages with `after < seq <= up_to` that are not recent, the highest `limit` of
        them; those that were deleted at `deleted_after` or before may be among them or not."""
        async with self._turns:
            stored = await self._store.posts(
                conversation_id, after=after, before=up_to + 1, limit=limit
            )
        lowest = stored[-1][0] if len(stored) >= limit else after + 1
        recent = await self._recent.posts(
            conversation_id, after=lowest - 1, up_to=up_to, limit=POSTS
        )
        here = {seq for seq, _ in recent.posts}
        deleted = await self._recent.deleted(conversation_id, after=lowest - 1, before=up_to + 1)
        posts = {seq: sender for seq, sender in stored if seq not in here}
        # The message store leaves out what was deleted by now.
        left_out = [
            (conversation_id, seq)
            for seq, deleted_seq in deleted.items()
            if deleted_seq > deleted_after and seq not in here and seq not in posts
        ]
        for event in (await self._events(left_out)).values():
            posts[event.seq] = event.sender
        return OlderPosts(posts, deleted, lowest)

    async def tails(
        self, username: str, wanted: Iterable[tuple[Wanted, RecentTail]]
    ) -> list[OlderTail]:
        return await _all(self._tail(username, *one) for one in wanted)

    async def messages(self, found: Iterable[Found]) -> list[Message]:
        """Messages with what became of them, in their order."""
        found = list(found)
        places = [one.missing() for one in found]
        edits = await self._events([place for place in places if place is not None])
        return [
            merging.message_of(
                one.posted, one.fate, one.edit if place is None else edits.get(place)
            )
            for one, place in zip(found, places, strict=True)
        ]

    def alarm(self, conversation_id: str, holes: Sequence[int]) -> None:
        """Numbers that exist are in neither store."""
        if holes:
            self._metrics.holes += len(holes)
            logger.error(
                "{} is not whole: {} numbers are in no store, the first is {}",
                conversation_id,
                len(holes),
                holes[0],
            )

    async def _tail(self, username: str, wanted: Wanted, recent: RecentTail) -> OlderTail:
        last: list[Message] = []
        if recent.last_lacks:
            newest = 0 if recent.last is None else recent.last.posted.seq
            async with self._turns:
                last = await self._store.messages(
                    wanted.conversation_id,
                    after=max(wanted.floor, wanted.head - LAST_MESSAGE_WITHIN, newest),
                    before=recent.last_lacks + 1,
                    limit=1,
                    newest=True,
                )
        unread = 0
        if recent.unread_lacks:
            most = wanted.unread_cap + 1 - recent.unread
            unread = await self._unread(username, wanted, recent.unread_lacks, most)
        return OlderTail(unread, last[0] if last else None)

    async def _unread(self, username: str, wanted: Wanted, up_to: int, most: int) -> int:
        after = max(wanted.read, wanted.floor)
        count = seen = 0
        while count < most and after < up_to and seen < UNREAD_WITHIN:
            older = await self.posts(
                wanted.conversation_id,
                after=after,
                up_to=up_to,
                limit=POSTS,
                deleted_after=wanted.head,
            )
            count += sum(
                sender != username and not 0 < older.deleted.get(seq, 0) <= wanted.head
                for seq, sender in older.posts.items()
            )
            seen += len(older.posts)
            up_to = older.lowest - 1
        return min(count, most)

    async def _events(self, places: Sequence[Place]) -> dict[Place, Event]:
        """Single events. One that is not there is a hole."""
        found = await _all(self._event(place) for place in places)
        return {
            place: event for place, event in zip(places, found, strict=True) if event is not None
        }

    async def _event(self, place: Place) -> Event | None:
        conversation_id, seq = place
        async with self._turns:
            events = await self._store.read(conversation_id, after=seq - 1, before=seq + 1, limit=1)
        if not events:
            self.alarm(conversation_id, [seq])
            return None
        return events[0]


async def _all(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all; the first that fails ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return [task.result() for task in tasks]
