"""Stored events as frames, in pages that everybody who catches up shares.

A page is `PAGE` numbers of one conversation, cut at multiples of it, so that connections that are
behind by different amounts meet in the same pages: a page is read from the store once and rendered
once, however many wait for it. The last page of a conversation grows; only what is new of it is
read.

Limits: `LOADS_AT_ONCE` reads of the store at a time, others wait; `CACHED_BYTES` of pages are kept,
the page that was not used for longest goes first and is read again when it is needed.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from chatd.delivery.render import stored_push
from chatd.errors import BackendError
from chatd.events import Event
from chatd.metrics import Metrics
from chatd.stores.ledger import Ledger
from protocol.codec import encode
from protocol.framing import text_message

PAGE: Final = 200
LOADS_AT_ONCE: Final = 64
CACHED_BYTES: Final = 32 * 1024 * 1024
_OVERHEAD: Final = 600
"""Bytes of an event besides its body and frame, and of a page besides its events."""

_Key = tuple[str, int]


class _Page:
    __slots__ = ("bytes", "events", "frames", "is_stale", "loading", "up_to")

    def __init__(self, up_to: int) -> None:
        self.events: list[Event] = []
        self.frames: list[bytes | None] = []
        """The events as frames with `offline`, made when the first asks."""
        self.up_to = up_to
        """What is stored up to it was read."""
        self.loading: asyncio.Task[None] | None = None
        self.bytes = 0
        self.is_stale = False
        """A message of the conversation was deleted since it was begun."""


class Pages:
    def __init__(self, ledger: Ledger, metrics: Metrics) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._pages: OrderedDict[_Key, _Page] = OrderedDict()
        self._numbers: dict[str, set[int]] = {}
        """Which pages of each conversation are kept."""
        self._bytes = 0
        self._turns = asyncio.Semaphore(LOADS_AT_ONCE)

    async def after(
        self, conversation_id: str, position: int, up_to: int
    ) -> tuple[int, Iterator["StoredFrame"]]:
        """The events above `position`, at most to `up_to` and the end of their page: the number up
        to which they go, and the events, to be taken at once.

        Raises:
            BackendError: the store failed.
        """
        number = position // PAGE
        key = (conversation_id, number)
        up_to = min(up_to, (number + 1) * PAGE)
        page = self._page(key)
        while page.up_to < up_to:
            if page.loading is None:
                page.loading = asyncio.get_running_loop().create_task(
                    self._load(key, page, up_to), name="page"
                )
            try:
                # Shielded: others wait for the same.
                await asyncio.shield(page.loading)
            except BackendError:
                if position <= page.up_to:
                    raise
                # The beginning of the page is older than what can be read now; what is asked for
                # may not be.
                return up_to, _frames(await self._rest(key, position, up_to), position, up_to)
            if page.is_stale:
                page = self._page(key)
        if self._pages.get(key) is page:
            self._pages.move_to_end(key)
        return up_to, _frames(page, position, up_to)

    def forget(self, conversation_id: str) -> None:
        """A message of the conversation was deleted: what is kept of it must not be sent."""
        for number in tuple(self._numbers.get(conversation_id, ())):
            key = conversation_id, number
            self._pages[key].is_stale = True
            self._drop(key)

    def _page(self, key: _Key) -> _Page:
        page = self._pages.get(key)
        if page is None:
            page = self._pages[key] = _Page(key[1] * PAGE)
            self._numbers.setdefault(key[0], set()).add(key[1])
        return page

    async def _rest(self, key: _Key, position: int, up_to: int) -> _Page:
        """The end of a page, which is not kept."""
        page = _Page(position)
        page.events, page.up_to = await self._read(key, page, up_to), up_to
        page.frames = [None] * len(page.events)
        return page

    async def _read(self, key: _Key, page: _Page, up_to: int) -> list[Event]:
        async with self._turns:
            self._metrics.pages_read += 1
            return await self._ledger.read(key[0], after=page.up_to, before=up_to + 1, limit=PAGE)

    async def _load(self, key: _Key, page: _Page, up_to: int) -> None:
        try:
            events = await self._read(key, page, up_to)
        except BaseException:
            if not page.events and self._pages.get(key) is page:
                self._drop(key)
            raise
        finally:
            page.loading = None
        page.events += events
        page.frames += [None] * len(events)
        page.up_to = up_to
        size = sum(2 * len(event.body) + _OVERHEAD for event in events)
        self._grow(key, page, size if page.bytes else size + _OVERHEAD)

    def _grow(self, key: _Key, page: _Page, size: int) -> None:
        if self._pages.get(key) is not page:
            return
        page.bytes += size
        self._bytes += size
        self._pages.move_to_end(key)
        while self._bytes > CACHED_BYTES and len(self._pages) > 1:
            self._drop(next(iter(self._pages)))
        self._metrics.page_bytes = self._bytes

    def _drop(self, key: _Key) -> None:
        self._bytes -= self._pages.pop(key).bytes
        numbers = self._numbers[key[0]]
        numbers.discard(key[1])
        if not numbers:
            del self._numbers[key[0]]
        self._metrics.page_bytes = self._bytes


class StoredFrame:
    """An event of a page."""

    __slots__ = ("_index", "_page", "event")

    def __init__(self, page: _Page, index: int) -> None:
        self._page = page
        self._index = index
        self.event = page.events[index]

    def offline(self) -> bytes:
        """Its frame for one who was away when it came."""
        frame = self._page.frames[self._index]
        if frame is None:
            frame = text_message(encode(stored_push(self.event, offline=True)))
            self._page.frames[self._index] = frame
        return frame

    def live(self) -> bytes:
        """Its frame for one who was here."""
        return text_message(encode(stored_push(self.event, offline=False)))


def _frames(page: _Page, position: int, up_to: int) -> Iterator[StoredFrame]:
    events = page.events
    # Numbers are dense, so the place of the first is known; a hole, which only a store that lost
    # something has, makes it come later.
    start = min(max(position - events[0].seq + 1, 0), len(events)) if events else 0
    while start > 0 and events[start - 1].seq > position:
        start -= 1
    for index in range(start, len(events)):
        if events[index].seq > up_to:
            return
        yield StoredFrame(page, index)
