"""Bringing a connection that is behind up to the live edge, piece by piece, at
the pace of its socket.

Nothing but a position is kept for it between two pieces, and the next is taken only when the socket
has taken the last, so a backlog of any size costs the server no more than a piece.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from loguru import logger

from chatd.delivery.lacking import Range, add
from chatd.delivery.outbox import Outbox
from chatd.delivery.pages import Pages, StoredFrame
from chatd.delivery.room import Behind, Filling, Room
from chatd.events import Event
from chatd.metrics import Metrics
from protocol.codec import encode
from protocol.framing import text_message
from protocol.pushes import Resync

PIECE_BYTES: Final = 64 * 1024
"""Written at once; far below the limit of an outbox, whatever the size of the messages."""


class Catchup:
    def __init__(self, pages: Pages, metrics: Metrics) -> None:
        self._pages = pages
        self._metrics = metrics

    async def run(self, outbox: Outbox, room: Room, behind: Behind) -> None:
        """Send what the connection missed of a conversation and make it live there.

        Raises:
            BackendError: the store failed; the connection must be closed, so that it
                comes back and asks again.
        """
        await outbox.drained()
        if behind.resync_after is not None and _is_behind(outbox, room, behind):
            send_resync(outbox, room.conversation_id, behind.resync_after, is_direct=room.is_direct)
        while _is_behind(outbox, room, behind):
            # What is committed and not released yet is left for the release: only then is it known
            # who may have it, and whose own it is.
            assert room.released is not None
            if behind.position < room.released:
                await self._send_piece(outbox, room, behind, room.released)
            if _is_behind(outbox, room, behind) and behind.position >= room.released:
                # In the loop step in which the position has met what is released.
                room.go_live(outbox, behind.position, behind.lacking)

    async def fill(
        self, outbox: Outbox, room: Room, ranges: Sequence[Range], filling: Filling
    ) -> None:
        """Send the events of these ranges, which the connection lacks below its position, while
        they are wanted.

        Raises:
            BackendError: as `run`.
        """
        for after, up_to in ranges:
            await self._fill_range(outbox, room, after, up_to, filling)
        if room.filling.get(outbox) is filling:
            del room.filling[outbox]

    async def _fill_range(
        self, outbox: Outbox, room: Room, after: int, up_to: int, filling: Filling
    ) -> None:
        def is_wanted() -> bool:
            return filling.is_wanted and not outbox.is_closed()

        while after < up_to and is_wanted():
            end, frames = await self._pages.after(room.conversation_id, after, up_to)
            piece: list[bytes] = []
            size = 0
            reached = end
            for frame in frames:
                piece.append(frame.offline())
                size += len(piece[-1])
                if size >= PIECE_BYTES:
                    reached = frame.event.seq
                    break
            if not is_wanted():
                return
            await self._write(outbox, piece, is_wanted)
            after = reached
            await outbox.drained()

    async def _send_piece(self, outbox: Outbox, room: Room, behind: Behind, released: int) -> None:
        end, frames = await self._pages.after(room.conversation_id, behind.position, released)
        if not _is_behind(outbox, room, behind):
            # The user left the conversation, or the connection went, meanwhile.
            return
        before = behind.position
        piece = _take_piece(outbox, behind, frames)
        if behind.position == before < end:
            # It was released, so it was committed before the read: the store lost what it had
            # acknowledged.
            logger.error("{}: nothing stored from {} to {}", room.conversation_id, before, end)
            behind.position = end
        await self._write(outbox, piece, lambda: _is_behind(outbox, room, behind))
        # After the write: what a closed outbox discarded counts no more.
        outbox.written[room.conversation_id] = behind.position
        await outbox.drained()

    async def _write(
        self, outbox: Outbox, piece: list[bytes], is_wanted: Callable[[], bool]
    ) -> None:
        if piece:
            data = b"".join(piece)
            while outbox.write(data):
                await outbox.drained()
                if not is_wanted():
                    # The user has left meanwhile: nothing may follow its leaving.
                    return
            self._metrics.offline_deliveries += len(piece)


def send_resync(outbox: Outbox, conversation_id: str, after_seq: int, *, is_direct: bool) -> None:
    """Tell a connection that what follows comes from the log."""
    frame = Resync(
        chat_id=conversation_id if is_direct else None,
        group_id=None if is_direct else conversation_id,
        after_seq=after_seq,
    )
    outbox.reply(text_message(encode(frame)))


def _take_piece(outbox: Outbox, behind: Behind, frames: Iterator[StoredFrame]) -> list[bytes]:
    """The next frames that the connection lacks; its position moves with them."""
    piece: list[bytes] = []
    size = 0
    for frame in frames:
        event = frame.event
        if event.seq <= behind.position:
            # A RESUME came meanwhile and said that the client has it.
            continue
        behind.position = event.seq
        if _is_news(outbox, behind, event):
            piece.append(frame.offline() if event.seq <= behind.offline_up_to else frame.live())
            size += len(piece[-1])
            if size >= PIECE_BYTES:
                break
    return piece


def _is_behind(outbox: Outbox, room: Room, behind: Behind) -> bool:
    return not outbox.is_closed() and room.behind.get(outbox) is behind


def _is_news(outbox: Outbox, behind: Behind, event: Event) -> bool:
    """Whether the connection lacks the event: it has acks for what it posted while it was behind,
    and what its user posted up to the first event of somebody else counts as delivered."""
    if event.seq in behind.own:
        behind.own.discard(event.seq)
        return False
    behind.only_own = behind.only_own and event.sender == outbox.principal.username
    if behind.only_own:
        behind.lacking = add(behind.lacking, event.seq - 1, event.seq)
        return False
    return True
