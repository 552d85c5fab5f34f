"""From committed events to the connections of this node.

The events of one conversation that were released together leave as one buffer, written once per
connection: frames to clients carry no mask and no compression, so the bytes are the same for
everyone. A sender's own connection gets its ack instead of its event. No recipient is waited for:
one that refuses falls behind, and catches up from the log.
"""

from collections.abc import Sequence

from loguru import logger

from chatd.delivery.hub import Hub
from chatd.delivery.outbox import Outbox
from chatd.delivery.pages import Pages
from chatd.delivery.release import CHANGES_MEMBERS, Release
from chatd.delivery.room import OWN_KEPT, Room
from chatd.events import EventKind
from chatd.metrics import Metrics
from protocol.close import CloseCode


class Fanout:
    def __init__(self, hub: Hub, pages: Pages, metrics: Metrics) -> None:
        self._hub = hub
        self._pages = pages
        self._metrics = metrics

    def audience(self, conversation_id: str) -> int:
        """Connections of this node that are live in the conversation."""
        room = self._hub.rooms.get(conversation_id)
        return 0 if room is None else len(room.live)

    def forget(self, conversation_id: str) -> None:
        """A message of the conversation was deleted."""
        self._pages.forget(conversation_id)

    def release(self, conversation_id: str, releases: Sequence[Release]) -> None:
        """Deliver events of one conversation, in the order of their numbers."""
        run: list[Release] = []
        for release in releases:
            if release.kind not in CHANGES_MEMBERS:
                run.append(release)
                continue
            # Who is in the room changes with this event: what comes before it goes
            # to those before it.
            self._deliver_run(conversation_id, run)
            run = []
            self._change_members(conversation_id, release)
        self._deliver_run(conversation_id, run)

    def _deliver_run(self, conversation_id: str, run: list[Release]) -> None:
        if run:
            if run[0].named:
                # A direct conversation begins: users who connected before it existed are
                # not in its room yet.
                room = self._hub.joined(conversation_id, run[0].named, 0, is_direct=True)
            else:
                room = self._hub.rooms.get(conversation_id)
            if room is not None:
                self._deliver(room, run)

    def _change_members(self, conversation_id: str, release: Release) -> None:
        if release.kind is EventKind.MEMBER_LEFT:
            room = self._hub.rooms.get(conversation_id)
        else:
            room = self._hub.joined(
                conversation_id, release.named, release.seq - 1, is_direct=False
            )
        if room is not None:
            self._deliver(room, [release])
        if release.kind is EventKind.MEMBER_LEFT:
            (username,) = release.named
            if room is not None:
                self._tell_left(room, username, release)
            self._hub.left(conversation_id, username)

    def _tell_left(self, room: Room, username: str, release: Release) -> None:
        """Who is behind when it is removed will not get there: it is told at once."""
        for outbox, behind in room.behind.items():
            if (
                outbox.principal.username == username
                and release.origin is not outbox
                and not behind.is_held
            ):
                outbox.reply(release.frame)

    def _deliver(self, room: Room, run: list[Release]) -> None:
        if room.released is not None and run[0].seq <= room.released:
            # The room was opened with a head that had these in it: whoever is in it reads
            # them from the store.
            run = [release for release in run if release.seq > room.released]
            if not run:
                return
        data = run[0].frame if len(run) == 1 else b"".join([release.frame for release in run])
        conversation_id = room.conversation_id
        last = run[-1].seq
        special: set[object] = {release.origin for release in run}
        special.update(room.ahead)
        special.update(room.own)
        refusing: list[Outbox] = []
        for outbox in room.live:
            try:
                if outbox in special:
                    refused = self._write_some(room, outbox, run)
                else:
                    refused = outbox.write(data)
            except Exception:
                # One connection's trouble is its own: it ends, comes back and catches up.
                logger.exception("a connection of {} failed", outbox.principal.username)
                outbox.shut(CloseCode.INTERNAL_ERROR)
                continue
            if refused:
                refusing.append(outbox)
            else:
                outbox.written[conversation_id] = last
        for outbox in refusing:
            self._fall_behind(room, outbox)
        room.released = last
        own = [one for one in run if one.origin is not None and one.origin not in room.live]
        if own:
            note_own(conversation_id, room, own)
        self._metrics.deliveries += len(room.live) * len(run)

    def _fall_behind(self, room: Room, outbox: Outbox) -> None:
        assert room.released is not None
        self._metrics.resyncs += 1
        behind = room.fall_behind(outbox, max(room.released, room.ahead.get(outbox, 0)))
        if self._hub.fell_behind is not None:
            self._hub.fell_behind(outbox, room, behind)

    def _write_some(self, room: Room, outbox: Outbox, run: list[Release]) -> bool | None:
        """What of the run a connection lacks that posted some of it itself or has read ahead."""
        position = room.ahead.get(outbox, 0)
        own = room.own.get(outbox, ())
        lacking = [
            release.frame
            for release in run
            if release.origin is not outbox and release.seq > position and release.seq not in own
        ]
        refused = outbox.write(b"".join(lacking)) if lacking else None
        if not refused and position and run[-1].seq >= position:
            del room.ahead[outbox]
        if own and run[-1].seq >= max(own) and not refused:
            del room.own[outbox]
        return refused


def note_own(conversation_id: str, room: Room | None, own: Sequence[Release]) -> None:
    """A connection that posts while it is behind, or not in the room yet, has the ack; catch-up
    must not send it the event too."""
    for release in own:
        origin = release.origin
        if not isinstance(origin, Outbox) or origin.is_closed():
            continue
        if room is not None and origin in room.live:
            continue
        if room is None or origin not in room.behind:
            origin.note_own(conversation_id, release.seq)
            continue
        kept = room.behind[origin].own
        if len(kept) >= OWN_KEPT:
            kept.clear()
        kept.add(release.seq)
