"""Who posted what is to be changed, where only the message store has it any more.

Who may change a message is decided in the commit of the change, where the recent events are. An
older message is looked up before, so that changes keep their place among the other entries.

Limits: the look-ups of a call take at most `LOOK_UP_SECONDS`, since other entries wait for them,
`LOOK_UPS_AT_ONCE` at a time; when one failed none is begun for as long. What is known to be recent
is kept of `CONVERSATIONS`.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from loguru import logger

from chatd.clock import Clock
from chatd.errors import BackendError
from chatd.stores.ledger import Entry
from chatd.stores.message_store import MessageStore
from chatd.stores.recent_events import RecentEvents

LOOK_UP_SECONDS: Final = 1.0
LOOK_UPS_AT_ONCE: Final = 64
CONVERSATIONS: Final = 10_000
RECENT_MS: Final = 12 * 3600 * 1000
"""Far below the age at which an event is recent no more."""

_Place = tuple[str, int]


class Authors:
    def __init__(self, recent: RecentEvents, store: MessageStore, clock: Clock) -> None:
        self._recent = recent
        self._store = store
        self._clock = clock
        self._known: OrderedDict[str, tuple[int, int]] = OrderedDict()
        """A number of a conversation that was recent, and its time: those above it are, too."""
        self._turns = asyncio.Semaphore(LOOK_UPS_AT_ONCE)
        self._pause_until = clock.monotonic()

    async def fill_in(self, entries: Sequence[Entry]) -> list[Entry]:
        """Set `author` of the entries that change an older message; those are returned for which
        that failed.

        Raises:
            BackendError: the recent events are not there.
        """
        asking: dict[_Place, list[Entry]] = {}
        for entry in entries:
            if entry.target is not None and entry.author is None:
                place = entry.conversation_id, entry.target.seq
                if not self._is_recent(place):
                    asking.setdefault(place, []).append(entry)
        older = await self._older(list(asking))
        failed: list[Entry] = []
        if older and not await self._look_up({place: asking[place] for place in older}):
            failed = [entry for place in older for entry in asking[place] if entry.author is None]
        return failed

    async def _older(self, places: list[_Place]) -> list[_Place]:
        if not places:
            return []
        older: list[_Place] = []
        for place, at_ms in zip(places, await self._recent.whereabouts(places), strict=True):
            if at_ms is None:
                older.append(place)
            elif at_ms:
                self._note(place, at_ms)
        return older

    async def _look_up(self, asking: dict[_Place, list[Entry]]) -> bool:
        """Whether all of them were looked up."""
        if self._clock.monotonic() < self._pause_until:
            return False
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS):
                await asyncio.gather(*(self._look_up_one(*one) for one in asking.items()))
        except (BackendError, TimeoutError) as error:
            logger.warning("the message that is to be changed was not found out: {}", error)
            self._pause_until = self._clock.monotonic() + LOOK_UP_SECONDS
            return False
        return True

    async def _look_up_one(self, place: _Place, entries: Iterable[Entry]) -> None:
        conversation_id, seq = place
        async with self._turns:
            found = await self._store.messages(
                conversation_id, after=seq - 1, before=seq + 1, limit=1, newest=True
            )
        for entry in entries:
            assert entry.target is not None
            if found and found[0].posted.nonce == entry.target.nonce:
                entry.author = found[0].posted.sender

    def _is_recent(self, place: _Place) -> bool:
        known = self._known.get(place[0])
        return (
            known is not None
            and place[1] >= known[0]
            and self._clock.now_ms() - known[1] < RECENT_MS
        )

    def _note(self, place: _Place, at_ms: int) -> None:
        if self._clock.now_ms() - at_ms < RECENT_MS:
            self._known[place[0]] = place[1], at_ms
            self._known.move_to_end(place[0])
            if len(self._known) > CONVERSATIONS:
                self._known.popitem(last=False)
