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
PIECE_BYTES: Final = 64 * 1024
"""Written at once; far below the limit of an outbox, whatever the size of the messages."""
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
            while _is_behind(outbox, room, behind):
                async with self._turns:
                    # What is committed and not released yet is left for the release: only then is
                    # it known who may have it, and whose own it is.
                    released = room.released
                    assert released is not None
                    events = await self._ledger.read(
                        room.conversation_id,
                        after=behind.position,
                        before=released + 1,
                        limit=PAGE,
                    )
                await self._send_page(outbox, room, behind, events)
                if _is_behind(outbox, room, behind):
                    _meet(room, outbox, behind, None if events else released)

    async def _send_page(
        self, outbox: Outbox, room: Room, behind: Behind, events: list[Event]
    ) -> None:
        """Write a page in pieces, and wait for the socket after each."""
        piece: list[bytes] = []
        size = 0
        for event in events:
            # The user may have left the conversation, or the connection may have gone, meanwhile.
            if not _is_behind(outbox, room, behind):
                return
            behind.position = event.seq
            if _is_news(outbox, behind, event):
                push = stored_push(event, offline=event.seq <= behind.offline_up_to)
                piece.append(text_message(encode(push)))
                size += len(piece[-1])
            if size >= PIECE_BYTES or event is events[-1]:
                if piece:
                    outbox.write(b"".join(piece))
                outbox.written[room.conversation_id] = behind.position
                self._metrics.offline_deliveries += len(piece)
                piece, size = [], 0
                await outbox.drained()


def _is_behind(outbox: Outbox, room: Room, behind: Behind) -> bool:
    return not outbox.is_closed() and room.behind.get(outbox) is behind


def _is_news(outbox: Outbox, behind: Behind, event: Event) -> bool:
    """Whether the connection lacks the event: it has acks for what it posted while it was behind,
    and what its user posted up to the first event of somebody else counts as delivered."""
    behind.only_own = behind.only_own and event.sender == outbox.principal.username
    if event.seq in behind.own:
        behind.own.discard(event.seq)
        return False
    return not behind.only_own


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
