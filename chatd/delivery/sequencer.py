"""Events of each conversation in the order of their numbers, whichever node wrote them.

What follows on what was released goes on at once: the common case. An event that comes early waits
up to `WAIT_SECONDS` for those before it, which are on their way by the bus; then they are read from
the log, where they must be, since they were committed first.

Limits: `EARLY` events wait in one conversation and `EARLY_IN_ALL` in all; more are not kept, and
read from the log when it is their turn. `FILLS_AT_ONCE` conversations are read for at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Final

from loguru import logger

from chatd.delivery.fanout import Fanout, note_own
from chatd.delivery.hub import Hub
from chatd.delivery.release import CHANGES_MEMBERS, Release, of_event
from chatd.delivery.room import Room
from chatd.errors import BackendError
from chatd.events import EventKind
from chatd.metrics import Metrics
from chatd.stores.ledger import Ledger
from chatd.tasks import TaskOwner

WAIT_SECONDS: Final = 0.1
EARLY: Final = 1_000
EARLY_IN_ALL: Final = 50_000
FILLS_AT_ONCE: Final = 16
_PAGE: Final = 200
_HEADS_AT_ONCE: Final = 1_000
_RETRY_SECONDS: Final = 1.0


class _Gap:
    """What a conversation waits for."""

    __slots__ = ("early", "expected", "is_filling", "timer")

    def __init__(self) -> None:
        self.early: dict[int, Release] = {}
        self.expected = 0
        """An event with this number exists."""
        self.timer: asyncio.TimerHandle | None = None
        self.is_filling = False


class Sequencer:
    def __init__(
        self,
        hub: Hub,
        fanout: Fanout,
        ledger: Ledger,
        metrics: Metrics,
        settled: Callable[[], Awaitable[None]],
    ) -> None:
        """`settled` waits until what this node has committed itself was handed over."""
        self.latecomers: Callable[[str, tuple[str, ...]], None] | None = None
        """Told of users whom another node's event may have brought into a conversation."""
        self._hub = hub
        self._fanout = fanout
        self._ledger = ledger
        self._metrics = metrics
        self._settled = settled
        self._gaps: dict[str, _Gap] = {}
        self._early = 0
        self._turns = asyncio.Semaphore(FILLS_AT_ONCE)
        self._tasks = TaskOwner()

    async def stop(self) -> None:
        for gap in self._gaps.values():
            _cancel(gap)
        await self._tasks.cancel()

    def release(self, conversation_id: str, releases: Sequence[Release]) -> None:
        """Events of one conversation, ascending, are committed: deliver them when it is their turn.
        Those that were delivered are left out."""
        room = self._hub.rooms.get(conversation_id)
        if room is None:
            # Nobody of it is here, unless an event says that somebody is now.
            for at, release in enumerate(releases):
                if not release.named:
                    if release.origin is not None:
                        note_own(conversation_id, None, (release,))
                    continue
                if not release.is_foreign and _are_dense(releases[at:]):
                    self._fanout.release(conversation_id, releases[at:])
                    return
                self._apply(conversation_id, release)
                if conversation_id in self._hub.rooms:
                    if releases[at + 1 :]:
                        self.release(conversation_id, releases[at + 1 :])
                    return
            return
        released = room.released
        if (
            released is not None
            and releases[0].seq == released + 1
            and _are_dense(releases)
            and conversation_id not in self._gaps
        ):
            self._fanout.release(conversation_id, releases)
            return
        self._keep(conversation_id, room, releases)

    def expect(self, conversation_id: str, seq: int) -> None:
        """The event with this number is committed; its release may have been lost."""
        room = self._hub.rooms.get(conversation_id)
        if room is not None and (room.released is None or room.released < seq):
            gap = self._gap(conversation_id)
            gap.expected = max(gap.expected, seq)
            self._wait(conversation_id, gap)

    def opened(self, room: Room, head: int) -> None:
        """A room begins, while the conversation's head is this: at the head, or before the first
        event that came meanwhile."""
        gap = self._gaps.get(room.conversation_id)
        if gap is None:
            room.released = head
        else:
            room.released = min([head, *(seq - 1 for seq in gap.early)])
            gap.expected = max(gap.expected, head)
            self._advance(room.conversation_id, room, gap)

    def closed(self, conversation_id: str) -> None:
        """Nobody of the conversation is here any more."""
        gap = self._gaps.pop(conversation_id, None)
        if gap is not None:
            self._early -= len(gap.early)
            _cancel(gap)
            if gap.early:
                # One of them may say that somebody else who is here has come into it.
                self.release(conversation_id, [gap.early[seq] for seq in sorted(gap.early)])

    async def check(self, conversation_ids: Collection[str]) -> None:
        """Compare what was released of these conversations with their heads in the log.

        Raises:
            BackendError: the log cannot be read.
        """
        names = list(conversation_ids)
        for start in range(0, len(names), _HEADS_AT_ONCE):
            heads = await self._ledger.heads(names[start : start + _HEADS_AT_ONCE])
            for conversation_id, head in heads.items():
                self.expect(conversation_id, head)

    def _keep(self, conversation_id: str, room: Room, releases: Iterable[Release]) -> None:
        gap = self._gap(conversation_id)
        for release in releases:
            gap.expected = max(gap.expected, release.seq)
            if room.released is not None and release.seq <= room.released:
                note_own(conversation_id, room, (release,))
                if release.named:
                    self._apply(conversation_id, release)
                continue
            if len(gap.early) < EARLY and self._early < EARLY_IN_ALL:
                self._early += release.seq not in gap.early
                gap.early[release.seq] = release
        self._advance(conversation_id, room, gap)

    def _apply(self, conversation_id: str, release: Release) -> None:
        """An event changes who is in a conversation, and is not the next in an open room."""
        if not release.is_foreign:
            self._fanout.release(conversation_id, (release,))
        elif release.kind is not EventKind.MEMBER_LEFT and self.latecomers is not None:
            # It may be old, and who came by it may be gone again: the store knows.
            self.latecomers(conversation_id, release.named)

    def _advance(self, conversation_id: str, room: Room, gap: _Gap) -> None:
        """Deliver what has its turn; wait for the rest, if there is any."""
        while room.released is not None and self._gaps.get(conversation_id) is gap:
            self._drop_delivered(room, gap, room.released)
            run: list[Release] = []
            while (following := gap.early.pop(room.released + len(run) + 1, None)) is not None:
                self._early -= 1
                run.append(following)
                if following.kind in CHANGES_MEMBERS:
                    break
            if not run:
                break
            # It may close the room, and open it again.
            self._fanout.release(conversation_id, run)
        if self._gaps.get(conversation_id) is not gap:
            return
        if room.released is not None and gap.expected <= room.released:
            self.closed(conversation_id)
        else:
            self._wait(conversation_id, gap)

    def _drop_delivered(self, room: Room, gap: _Gap, released: int) -> None:
        for seq in [seq for seq in gap.early if seq <= released]:
            note_own(room.conversation_id, room, (gap.early.pop(seq),))
            self._early -= 1

    def _gap(self, conversation_id: str) -> _Gap:
        gap = self._gaps.get(conversation_id)
        if gap is None:
            gap = self._gaps[conversation_id] = _Gap()
        return gap

    def _wait(self, conversation_id: str, gap: _Gap, seconds: float = WAIT_SECONDS) -> None:
        if gap.timer is None and not gap.is_filling:
            loop = asyncio.get_running_loop()
            gap.timer = loop.call_later(seconds, self._begin_filling, conversation_id, gap)

    def _begin_filling(self, conversation_id: str, gap: _Gap) -> None:
        gap.timer = None
        room = self._hub.rooms.get(conversation_id)
        if room is None:
            self.closed(conversation_id)
        elif room.released is None:
            # Whoever opens it has not read its head yet.
            self._wait(conversation_id, gap)
        else:
            gap.is_filling = True
            self._tasks.start(self._fill(conversation_id, room, gap), name="fill")

    async def _fill(self, conversation_id: str, room: Room, gap: _Gap) -> None:
        """Read what did not come, page by page, until nothing is missing."""
        pause = WAIT_SECONDS
        try:
            async with self._turns:
                while self._is_missing(conversation_id, room, gap):
                    await self._fill_page(conversation_id, room, gap)
        except BackendError as error:
            logger.warning("events of {} wait: {}", conversation_id, error)
            pause = _RETRY_SECONDS
        finally:
            gap.is_filling = False
            if self._gaps.get(conversation_id) is gap:
                self._wait(conversation_id, gap, pause)

    def _is_missing(self, conversation_id: str, room: Room, gap: _Gap) -> bool:
        return (
            self._gaps.get(conversation_id) is gap
            and self._hub.rooms.get(conversation_id) is room
            and room.released is not None
            and room.released < gap.expected
        )

    async def _fill_page(self, conversation_id: str, room: Room, gap: _Gap) -> None:
        assert room.released is not None
        after = room.released
        before = min([seq for seq in gap.early if seq > after], default=gap.expected + 1)
        events = await self._ledger.read(conversation_id, after=after, before=before, limit=_PAGE)
        # What this node wrote itself comes with its origin.
        await self._settled()
        self._metrics.gaps_filled += len(events)
        if not self._is_missing(conversation_id, room, gap):
            return
        for event in events:
            if event.kind is EventKind.MESSAGE_DELETED:
                self._fanout.forget(conversation_id)
            if event.seq not in gap.early:
                gap.early[event.seq] = of_event(event)
                self._early += 1
        self._advance(conversation_id, room, gap)
        # More may have come meanwhile than was read; then what is missing now was not asked for.
        if room.released == after and self._is_missing(conversation_id, room, gap):
            self._skip(conversation_id, room, gap)

    def _skip(self, conversation_id: str, room: Room, gap: _Gap) -> None:
        """The log lost what it had acknowledged: go on with what it has."""
        assert room.released is not None
        following = min([seq for seq in gap.early if seq > room.released], default=gap.expected + 1)
        logger.error(
            "{}: nothing stored from {} to {}", conversation_id, room.released + 1, following - 1
        )
        self._metrics.holes += following - 1 - room.released
        room.released = following - 1
        self._advance(conversation_id, room, gap)


def _are_dense(releases: Sequence[Release]) -> bool:
    return releases[-1].seq - releases[0].seq == len(releases) - 1


def _cancel(gap: _Gap) -> None:
    if gap.timer is not None:
        gap.timer.cancel()
        gap.timer = None
