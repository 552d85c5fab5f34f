"""What a bus that loses may have kept from this node is found in the store.

Once in `FEED_SECONDS` the change feed tells of new members, deletes and ended tokens. Once in
`HEADS_SECONDS` the heads of all conversations that are open here are compared with what was
released, spread over that time; every `FEED_SECONDS` while the bus is down, at once when it is
back, and until they answer for conversations whose last append had no known outcome.

Limits: `SUSPECTS` such conversations are remembered, more wait for the comparison of all;
`RECENT` events are remembered, so that what was told twice is looked up once.
"""

import asyncio
from collections import OrderedDict
from typing import Final

from loguru import logger

from chatd.delivery.hub import Hub
from chatd.delivery.release import of_event
from chatd.delivery.sequencer import Sequencer
from chatd.errors import BackendError
from chatd.fabric.bus import Bus
from chatd.services.control import Control
from chatd.services.presence import Presence
from chatd.stores.change_feed import ChangeFeed, Happened, Parted, Revoked
from chatd.stores.ledger import Ledger

FEED_SECONDS: Final = 1.0
HEADS_SECONDS: Final = 10.0
SUSPECTS: Final = 10_000
RECENT: Final = 10_000
_STEPS: Final = int(HEADS_SECONDS / FEED_SECONDS)


class Reconciler:
    def __init__(
        self,
        feed: ChangeFeed,
        ledger: Ledger,
        sequencer: Sequencer,
        hub: Hub,
        control: Control,
        presence: Presence,
        bus: Bus,
    ) -> None:
        self._feed = feed
        self._ledger = ledger
        self._sequencer = sequencer
        self._hub = hub
        self._control = control
        self._presence = presence
        self._bus = bus
        self._mark: int | None = None
        self._recent: OrderedDict[Happened, None] = OrderedDict()
        self._suspects: set[str] = set()
        self._rest: list[str] = []
        """Conversations that are still to be compared in this round."""
        self._share = 0
        self._at_once = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin: what is changed from now on is heard.

        Raises:
            BackendError: the store failed.
        """
        self._mark, _ = await self._feed.since(None)
        self._bus.reconnected = self._reconnected
        self._running = asyncio.get_running_loop().create_task(self._run(), name="reconciler")

    async def stop(self) -> None:
        self._bus.reconnected = None
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    def suspect(self, conversation_ids: set[str]) -> None:
        """These may have events that nobody was told of."""
        if len(self._suspects) < SUSPECTS:
            self._suspects |= conversation_ids

    def _reconnected(self) -> None:
        self._at_once.set()
        self._presence.refresh()

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(FEED_SECONDS):
                    await self._at_once.wait()
            except TimeoutError:
                pass
            is_all = self._at_once.is_set() or not self._bus.is_connected
            self._at_once.clear()
            try:
                await self._read_feed()
                await self._compare(is_all=is_all)
            except BackendError as error:
                logger.warning("this node may not have heard everything: {}", error)
            except Exception:
                logger.exception("a bug in the reconciler")

    async def _read_feed(self) -> None:
        mark, changes = await self._feed.since(self._mark)
        for change in changes:
            match change:
                case Happened():
                    await self._happened(change)
                case Revoked(username, device_id, besides):
                    self._control.end(username, device_id, besides=besides)
                case Parted(one, other):
                    self._presence.part(one, other)
        self._mark = mark

    async def _happened(self, change: Happened) -> None:
        if change in self._recent:
            return
        await self._find(*change)
        self._recent[change] = None
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)

    async def _find(self, conversation_id: str, seq: int) -> None:
        room = self._hub.rooms.get(conversation_id)
        if room is not None and (room.released is None or room.released < seq):
            self._sequencer.expect(conversation_id, seq)
            return
        # Somebody who is here may have come into it, and this node not have heard of it.
        events = await self._ledger.read(conversation_id, after=seq - 1, before=seq + 1, limit=1)
        for event in events:
            self._sequencer.release(conversation_id, [of_event(event)])

    async def _compare(self, *, is_all: bool) -> None:
        suspects, self._suspects = self._suspects, set()
        try:
            if suspects:
                await self._sequencer.check(suspects)
        except BackendError:
            self._suspects |= suspects
            raise
        if is_all or not self._rest:
            self._rest = list(self._hub.rooms)
            self._share = len(self._rest) if is_all else -(-len(self._rest) // _STEPS)
        part, self._rest = self._rest[: self._share], self._rest[self._share :]
        if part:
            await self._sequencer.check(part)
