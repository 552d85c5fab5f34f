"""From committed events to the connections of this node.

The events of one conversation that one commit released leave as one buffer, written once per
connection: frames to clients carry no mask and no compression, so the bytes are the same for
everyone. A sender's own connection gets its ack instead of its event. No recipient is waited for.
"""

from collections.abc import Sequence

from loguru import logger

from chatd.delivery.hub import Hub, Room
from chatd.delivery.outbox import Outbox
from chatd.delivery.render import released_push
from chatd.events import EventKind, GroupCreatedBody, MemberBody, MessageBody
from chatd.metrics import Metrics
from chatd.stores.ledger import Entry, Outcome
from protocol.close import CloseCode
from protocol.codec import encode
from protocol.framing import text_message

Released = tuple[Entry, Outcome]


class Fanout:
    def __init__(self, hub: Hub, metrics: Metrics) -> None:
        self._hub = hub
        self._metrics = metrics

    def audience(self, conversation_id: str) -> int:
        """Connections of this node that are live in the conversation."""
        room = self._hub.rooms.get(conversation_id)
        return 0 if room is None else len(room.live)

    def release(self, conversation_id: str, events: Sequence[Released]) -> None:
        """Deliver the events of one conversation that became durable together, in the order
        of their numbers."""
        run: list[Released] = []
        for released in events:
            if released[0].kind in (EventKind.DIRECT_MESSAGE, EventKind.GROUP_MESSAGE):
                run.append(released)
                continue
            # Who is in the room changes with this event: what comes before it goes
            # to those before it.
            self._deliver_run(conversation_id, run)
            run = []
            self._change_members(conversation_id, released)
        self._deliver_run(conversation_id, run)

    def _deliver_run(self, conversation_id: str, run: list[Released]) -> None:
        if run:
            entry, outcome = run[0]
            if (
                outcome.seq == 1
                and isinstance(entry.body, MessageBody)
                and entry.body.to is not None
            ):
                # A direct conversation begins: users who connected before it existed are
                # not in its room yet.
                room = self._hub.joined(conversation_id, (entry.sender, entry.body.to), 0)
            else:
                room = self._hub.rooms.get(conversation_id)
            if room is not None:
                self._deliver(room, run)

    def _change_members(self, conversation_id: str, released: Released) -> None:
        entry, outcome = released
        match entry.body:
            case GroupCreatedBody(members=members):
                room = self._hub.joined(conversation_id, members, outcome.seq - 1)
            case MemberBody(username=username) if entry.kind is EventKind.MEMBER_JOINED:
                room = self._hub.joined(conversation_id, (username,), outcome.seq - 1)
            case _:
                room = self._hub.rooms.get(conversation_id)
        if room is not None:
            self._deliver(room, [released])
        if entry.kind is EventKind.MEMBER_LEFT:
            assert isinstance(entry.body, MemberBody)
            self._hub.left(conversation_id, entry.body.username)

    def _deliver(self, room: Room, run: list[Released]) -> None:
        if room.released is not None and run[0][1].seq <= room.released:
            # The room was opened with a head that had these in it: whoever is in it reads
            # them from the store.
            run = [released for released in run if released[1].seq > room.released]
            if not run:
                return
        frames = [text_message(encode(released_push(entry, outcome))) for entry, outcome in run]
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        conversation_id = room.conversation_id
        last = run[-1][1].seq
        special: set[object] = {entry.origin for entry, _ in run}
        special.update(room.ahead)
        for outbox in room.live:
            try:
                if outbox in special:
                    self._write_some(room, outbox, run, frames)
                else:
                    outbox.write(data)
            except Exception:
                # One connection's trouble is its own: it ends, comes back and catches up.
                logger.exception("a connection of {} failed", outbox.principal.username)
                outbox.shut(CloseCode.INTERNAL_ERROR)
                continue
            # After the write: one that was too much has closed the outbox, and counts no more.
            outbox.written[conversation_id] = last
        room.released = last
        if room.behind:
            _note_own(room, run)
        self._metrics.deliveries += len(room.live) * len(run)

    def _write_some(
        self, room: Room, outbox: Outbox, run: list[Released], frames: list[bytes]
    ) -> None:
        """What of the run a connection lacks that posted some of it itself or has read ahead."""
        position = room.ahead.get(outbox, 0)
        lacking = [
            frame
            for (entry, outcome), frame in zip(run, frames, strict=True)
            if entry.origin is not outbox and outcome.seq > position
        ]
        if position and run[-1][1].seq >= position:
            del room.ahead[outbox]
        if lacking:
            outbox.write(b"".join(lacking))


def _note_own(room: Room, run: list[Released]) -> None:
    """A connection that posts while it is behind has the ack; catch-up must not send
    it the event too."""
    for entry, outcome in run:
        if isinstance(entry.origin, Outbox) and entry.origin in room.behind:
            room.behind[entry.origin].own.add(outcome.seq)
