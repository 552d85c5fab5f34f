"""What the message store answers while the recent events are away.

It may lack some of the last numbers: those that were committed and not put when the ledger was
lost. So nothing is told from the first gap on.
"""

from typing import Final

from chatd.errors import BackendError
from chatd.events import Event
from chatd.stores.history_merging import dense
from chatd.stores.ledger import Page
from chatd.stores.message_store import MessageStore
from chatd.stores.recent_events import NO_END, page_of

LATELY: Final = 200
"""The last numbers of the message store, among which a gap may be."""


async def read(
    store: MessageStore, conversation_id: str, *, after: int, before: int, limit: int
) -> list[Event]:
    """The events with `after < seq < before`, the lowest `limit` of them; without an end, those
    before the first gap.

    Raises:
        BackendError: the store failed, or has not all of them yet. Whoever names an end knows that
            they were committed.
    """
    stored = await store.read(
        conversation_id, after=after, before=min(before, after + limit + 1), limit=limit
    )
    events = dense(stored, after=after)
    if before < NO_END and len(events) < min(limit, before - after - 1):
        raise BackendError(f"the ledger is away, and {conversation_id} is not all in the store")
    return events


async def page(
    store: MessageStore, conversation_id: str, *, after: int, before: int, limit: int, newest: bool
) -> Page:
    """A page as of the last number before a gap. Raises BackendError."""
    head = await _head(store, conversation_id)
    messages = await store.messages(
        conversation_id, after=after, before=min(before, head + 1), limit=limit + 1, newest=newest
    )
    return page_of(messages, head, limit=limit, newest=newest)


async def _head(store: MessageStore, conversation_id: str) -> int:
    """The last number before a gap, in some dozens of small reads: it is halved between one that
    is there and one that is not."""
    there, missing = 0, 1
    while await _has(store, conversation_id, missing):
        there, missing = missing, missing * 2
    while there + 1 < missing:
        middle = (there + missing) // 2
        if await _has(store, conversation_id, middle):
            there = middle
        else:
            missing = middle
    after = max(there - LATELY, 0)
    last = await store.read(conversation_id, after=after, before=there + 1, limit=LATELY)
    return after + len(dense(last, after=after))


async def _has(store: MessageStore, conversation_id: str, seq: int) -> bool:
    return bool(await store.read(conversation_id, after=seq - 1, before=seq + 1, limit=1))
