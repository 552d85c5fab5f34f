"""Bringing a connection that is behind up to the live edge, page by page, at
the pace of its socket.

One page is in memory at a time and the next is read only when the socket has taken it, so a backlog
of any size costs the server no more than a page. Limit: `AT_ONCE` connections read at a time; the
others wait their turn.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from loguru import logger

from chatd.delivery.hub import Behind, Room
from chatd.delivery.outbox import Outbox
from chatd.delivery.render import stored_push
from chatd.events import Event
from chatd.metrics import Metrics
from chatd.stores.ledger import Ledger
from protocol.codec import encode
from protocol.framing import text_message

PAGE: Final = 200
AT_ONCE: Final = 64


class Catchup:
    def __init__(self, ledger: Ledger, metrics: Metrics) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def run(self, outbox: Outbox, backlog: Sequence[tuple[Room, Behind]]) -> None:
        """Send what the connection missed of each conversation and make it live there.

        Raises:
            BackendError: the store failed; the connection must be closed, so that it comes
                back and asks again.
        """
        for room, behind in backlog:
            while not outbox.is_closed() and room.behind.get(outbox) is behind:
                async with self._turns:
                    released = room.released
                    events = await self._ledger.read(
                        room.conversation_id, after=behind.position, limit=PAGE
                    )
                # The user may have left the conversation, or the connection may have
                # gone, during the read.
                if outbox.is_closed() or room.behind.get(outbox) is not behind:
                    break
                self._send(outbox, behind, events)
                await outbox.drained()
                if room.behind.get(outbox) is behind:
                    _meet(room, outbox, behind, None if events else released)

    def _send(self, outbox: Outbox, behind: Behind, events: list[Event]) -> None:
        frames: list[bytes] = []
        sender_is_reader = outbox.principal.username
        for event in events:
            # What a user posted up to the first event of somebody else counts as
            # delivered to that user.
            leading = behind.only_own and event.sender == sender_is_reader
            behind.only_own = leading
            if not leading and event.seq not in behind.own:
                frames.append(
                    text_message(
                        encode(stored_push(event, offline=event.seq <= behind.offline_up_to))
                    )
                )
        if events:
            behind.position = events[-1].seq
            behind.own = {seq for seq in behind.own if seq > behind.position}
            outbox.write(b"".join(frames))
            outbox.written[events[-1].conversation_id] = behind.position
            self._metrics.offline_deliveries += len(frames)


def _meet(room: Room, outbox: Outbox, behind: Behind, nothing_up_to: int | None) -> None:
    """Go live in the loop step in which the position has met what is released."""
    assert room.released is not None
    if behind.position >= room.released:
        room.go_live(outbox, behind.position)
    elif nothing_up_to is not None and behind.position < nothing_up_to:
        # It was released, so it was committed before the read: the store lost what
        # it had acknowledged.
        logger.error(
            "{}: nothing stored between {} and {}",
            room.conversation_id,
            behind.position,
            nothing_up_to,
        )
        behind.position = nothing_up_to
