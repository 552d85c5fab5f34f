"""The ledger of the real backends: the recent events in front of the message store.

Numbers are given and events committed by the ledger that is in front. Reading begins there too: it
is exact for as long as it keeps an event, and only what it lacks is asked of the message store. So
what was acknowledged is found at once, a put that comes late is not missed, and recent history is
there while the message store is away; then what needs older numbers raises BackendError. While the
recent events are away the message store answers alone; of tails and heads nothing can be told.
While the message store is away tails are of what is recent.

A number that neither has is an error in the log and counted in `holes`, and the answer goes without
it. Only `read` can see that: pages and posts are of messages, between which there are other events.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from loguru import logger

from chatd.clock import Clock
from chatd.errors import BackendError
from chatd.events import Event, Message
from chatd.metrics import Metrics
from chatd.stores import history_alone
from chatd.stores.authors import Authors
from chatd.stores.history_merging import holes, merged, missing
from chatd.stores.ledger import POSTS, Entry, Ledger, Outcome, Page, Tail, Wanted
from chatd.stores.message_store import MessageStore
from chatd.stores.older_events import Found, OlderEvents
from chatd.stores.recent_events import NO_END, RecentEvents, page_of
from protocol.errors import ErrorCode

_ATTEMPTS: Final = 5
"""At reading a page while events cease to be recent, which happens once a day."""


class HistoryLedger:
    """See the port."""

    def __init__(
        self,
        ledger: Ledger,
        recent: RecentEvents,
        store: MessageStore,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        """`ledger` numbers and commits, and `recent` are the events that it still has."""
        self._ledger = ledger
        self._metrics = metrics
        self._recent = recent
        self._store = store
        self._authors = Authors(recent, store, clock)
        self._older = OlderEvents(recent, store, metrics)

    def append(self, entries: Sequence[Entry]) -> asyncio.Future[list[Outcome]]:
        if all(entry.target is None for entry in entries):
            return self._ledger.append(entries)
        return asyncio.get_running_loop().create_task(self._append(entries), name="append")

    async def read(
        self,
        conversation_id: str,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int,
    ) -> list[Event]:
        end = NO_END if before is None else before
        try:
            recent, head = await self._recent.read(
                conversation_id, after=after, before=end, limit=limit
            )
        except BackendError:
            return await history_alone.read(
                self._store, conversation_id, after=after, before=end, limit=limit
            )
        up_to = min(end - 1, head)
        lacking = missing(recent, after=after, up_to=up_to, limit=limit)
        if lacking is None:
            return recent
        older = await self._older.read(
            conversation_id, after=lacking.first - 1, before=lacking.last + 1, limit=limit
        )
        events = merged(older, recent, limit=limit)
        self._older.alarm(conversation_id, holes(events, after=after, up_to=up_to, limit=limit))
        return events

    async def page(
        self, conversation_id: str, *, after: int, before: int | None, limit: int, newest: bool
    ) -> Page:
        end = NO_END if before is None else before
        try:
            recent = await self._recent.page(
                conversation_id, after=after, before=end, limit=limit + 1, newest=newest
            )
        except BackendError:
            return await history_alone.page(
                self._store, conversation_id, after=after, before=end, limit=limit, newest=newest
            )
        stored: list[Message] = []
        asked = 0
        for _ in range(_ATTEMPTS):
            if recent.lacks <= asked:
                break
            asked = recent.lacks
            # First the store, then the moment, so that the store knows of nothing later. And no
            # connection to the recent events is kept while the store takes its time.
            stored = await self._store.messages(
                conversation_id, after=after, before=asked + 1, limit=limit + 1, newest=newest
            )
            recent = await self._recent.page(
                conversation_id,
                after=after,
                before=end,
                limit=limit + 1,
                newest=newest,
                fates_of=[message.posted.seq for message in stored],
            )
        else:
            raise BackendError("events cease to be recent faster than they can be read")
        found = {
            message.posted.seq: Found(message.posted, fate, message.edit)
            for message, fate in zip(stored, recent.fates, strict=True)
        }
        found |= {one.posted.seq: Found(*one) for one in recent.messages}
        messages = await self._older.messages(found[seq] for seq in sorted(found))
        return page_of(messages, recent.head, limit=limit, newest=newest)

    async def posts(self, conversation_id: str, *, after: int, up_to: int) -> list[tuple[int, str]]:
        try:
            recent = await self._recent.posts(
                conversation_id, after=after, up_to=up_to, limit=POSTS
            )
        except BackendError:
            return await self._store.posts(
                conversation_id, after=after, before=up_to + 1, limit=POSTS
            )
        if not recent.lacks:
            return recent.posts
        older = await self._older.posts(
            conversation_id, after=after, up_to=recent.lacks, limit=POSTS
        )
        return sorted([*recent.posts, *older.posts.items()], reverse=True)[:POSTS]

    async def tails(self, username: str, wanted: Sequence[Wanted]) -> list[Tail]:
        recent = await self._recent.tails(username, wanted)
        unread = [one.unread for one in recent]
        last = {n: Found(*one.last) for n, one in enumerate(recent) if one.last is not None}
        lacking = [n for n, one in enumerate(recent) if one.unread_lacks or one.last_lacks]
        try:
            older = await self._older.tails(username, [(wanted[n], recent[n]) for n in lacking])
        except BackendError as error:
            # A list that lacks old messages is better than none: it is the first that a user sees.
            logger.warning("lists of conversations go without older messages: {}", error)
            self._metrics.tails_cut += len(lacking)
            lacking, older = [], []
        newer: dict[int, Message] = {}
        for n, tail in zip(lacking, older, strict=True):
            unread[n] += tail.unread
            if tail.last is not None:
                newer[n] = tail.last
        fates = await self._recent.fates(
            [(message.posted.conversation_id, message.posted.seq) for message in newer.values()]
        )
        for (n, message), fate in zip(newer.items(), fates, strict=True):
            last[n] = Found(message.posted, fate, message.edit)
        messages = dict(zip(last, await self._last_messages(last.values()), strict=True))
        return [Tail(count, messages.get(n)) for n, count in enumerate(unread)]

    async def _last_messages(self, found: Iterable[Found]) -> list[Message | None]:
        found = list(found)
        try:
            return list(await self._older.messages(found))
        except BackendError:
            # An edit of one of them is in the message store alone.
            return [None] * len(found)

    async def heads(self, conversation_ids: Sequence[str]) -> dict[str, int]:
        return await self._ledger.heads(conversation_ids)

    async def _append(self, entries: Sequence[Entry]) -> list[Outcome]:
        failed = {id(entry) for entry in await self._authors.fill_in(entries)}
        kept = [entry for entry in entries if id(entry) not in failed]
        outcomes = iter(await self._ledger.append(kept) if kept else [])
        return [
            Outcome(ErrorCode.UNAVAILABLE) if id(entry) in failed else next(outcomes)
            for entry in entries
        ]
