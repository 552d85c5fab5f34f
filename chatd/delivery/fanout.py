"""From committed events to the connections of this node.

The events of one conversation that one commit released leave as one buffer, written once per
connection: frames to clients carry no mask and no compression, so the bytes are the same for
everyone. A sender's own connection gets its ack instead of its event. No recipient is waited for:
one that refuses falls behind, and catches up from the log.
"""

from collections.abc import Sequence
from typing import Final

from loguru import logger

from chatd.delivery.hub import OWN_KEPT, Hub, Room
from chatd.delivery.outbox import Outbox
from chatd.delivery.pages import Pages
from chatd.delivery.render import released_push
from chatd.events import EventKind, GroupCreatedBody, MemberBody, MessageBody
from chatd.metrics import Metrics
from chatd.stores.ledger import Entry, Outcome
from protocol.close import CloseCode
from protocol.codec import encode
from protocol.framing import text_message

Released = tuple[Entry, Outcome]

_MEMBERSHIP: Final = frozenset(
    {EventKind.GROUP_CREATED, EventKind.MEMBER_JOINED, EventKind.MEMBER_LEFT}
)


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

    def release(self, conversation_id: str, events: Sequence[Released]) -> None:
        """Deliver the events of one conversation that became durable together, in the order
        of their numbers."""
        run: list[Released] = []
        for released in events:
            kind = released[0].kind
            if kind not in _MEMBERSHIP:
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
                room = self._hub.joined(
                    conversation_id, (entry.sender, entry.body.to), 0, is_direct=True
                )
            else:
                room = self._hub.rooms.get(conversation_id)
            if room is not None:
                self._deliver(room, run)

    def _change_members(self, conversation_id: str, released: Released) -> None:
        entry, outcome = released
        position = outcome.seq - 1
        body = entry.body
        if entry.kind is EventKind.MEMBER_LEFT:
            room = self._hub.rooms.get(conversation_id)
        else:
            assert isinstance(body, GroupCreatedBody | MemberBody)
            members = body.members if isinstance(body, GroupCreatedBody) else (body.username,)
            room = self._hub.joined(conversation_id, members, position, is_direct=False)
        if room is not None:
            self._deliver(room, [released])
        if entry.kind is EventKind.MEMBER_LEFT:
            assert isinstance(body, MemberBody)
            if room is not None:
                self._tell_left(room, body.username, released)
            self._hub.left(conversation_id, body.username)

    def _tell_left(self, room: Room, username: str, released: Released) -> None:
        """Who is behind when it is removed will not get there: it is told at once."""
        data = text_message(encode(released_push(*released)))
        for outbox, behind in room.behind.items():
            if (
                outbox.principal.username == username
                and released[0].origin is not outbox
                and not behind.is_held
            ):
                outbox.reply(data)

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
        refusing: list[Outbox] = []
        for outbox in room.live:
            try:
                if outbox in special:
                    refused = self._write_some(room, outbox, run, frames)
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
        if room.behind:
            _note_own(room, run)
        self._metrics.deliveries += len(room.live) * len(run)

    def _fall_behind(self, room: Room, outbox: Outbox) -> None:
        assert room.released is not None
        self._metrics.resyncs += 1
        behind = room.fall_behind(outbox, max(room.released, room.ahead.get(outbox, 0)))
        if self._hub.fell_behind is not None:
            self._hub.fell_behind(outbox, room, behind)

    def _write_some(
        self, room: Room, outbox: Outbox, run: list[Released], frames: list[bytes]
    ) -> bool | None:
        """What of the run a connection lacks that posted some of it itself or has read ahead."""
        position = room.ahead.get(outbox, 0)
        lacking = [
            frame
            for (entry, outcome), frame in zip(run, frames, strict=True)
            if entry.origin is not outbox and outcome.seq > position
        ]
        refused = outbox.write(b"".join(lacking)) if lacking else None
        if not refused and position and run[-1][1].seq >= position:
            del room.ahead[outbox]
        return refused


def _note_own(room: Room, run: list[Released]) -> None:
    """A connection that posts while it is behind has the ack; catch-up must not send
    it the event too."""
    for entry, outcome in run:
        if isinstance(entry.origin, Outbox) and entry.origin in room.behind:
            own = room.behind[entry.origin].own
            if len(own) >= OWN_KEPT:
                own.clear()
            own.add(outcome.seq)
