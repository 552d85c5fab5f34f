"""What nodes tell each other of conversations and users.

A node hears the topic of each conversation that one of its connections is in (`c:`), and of each
user who is connected to it (`u:`); and `joins`, where every node is told who comes into a
conversation, so that it can open a room. What a node publishes it delivers to its own connections
at once, and ignores when it comes back. All of it may be lost: events are missed by their numbers,
the rest may be dropped.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from loguru import logger

from chatd.delivery.fanout import Fanout
from chatd.delivery.hub import Hub, LocalUser
from chatd.delivery.release import Release
from chatd.delivery.room import Room
from chatd.delivery.sequencer import Sequencer
from chatd.errors import BackendError
from chatd.events import EventKind
from chatd.fabric.bus import Bus
from chatd.tasks import TaskOwner

_JOINS: Final = "joins"
_CONVERSATION: Final = "c:"
_USER: Final = "u:"

_Told = tuple[int, int, str, bytes, tuple[str, ...]]
"""A Release: seq, kind, sender, frame, named."""


class _Events(msgspec.Struct, frozen=True, tag=1, array_like=True):
    node: str
    conversation_id: str
    releases: list[_Told]


class _Hint(msgspec.Struct, frozen=True, tag=2, array_like=True):
    node: str
    conversation_id: str
    by: str
    data: bytes


class _Push(msgspec.Struct, frozen=True, tag=3, array_like=True):
    node: str
    username: str
    data: bytes
    besides: str | None


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Events | _Hint | _Push).decode


class Relay:
    def __init__(
        self, hub: Hub, fanout: Fanout, sequencer: Sequencer, bus: Bus, node_id: str
    ) -> None:
        self._hub = hub
        self._fanout = fanout
        self._sequencer = sequencer
        self._bus = bus
        self._node_id = node_id
        self.is_shared = bus.is_shared
        """Other nodes may write to the same conversations."""
        self._tasks = TaskOwner()
        self._opening: dict[str, Room | None] = {}
        """Topics to be heard, with the room that wants it."""
        self._asked: asyncio.Future[None] | None = None
        """Done when the bus has confirmed what was asked for last."""
        self._next: asyncio.Future[None] | None = None
        """Done when it has confirmed what is to be asked for then."""
        hub.closed = self._closed
        if self.is_shared:
            hub.opened, hub.arrived, hub.departed = self._opened, self._arrived, self._departed

    async def start(self) -> None:
        if self.is_shared:
            await self._bus.subscribe((_JOINS,), self._heard)

    async def stop(self) -> None:
        if self.is_shared:
            self._bus.unsubscribe((_JOINS,), self._heard)
        await self._tasks.cancel()

    def audience(self, conversation_id: str) -> int:
        """Connections of this node that are live in the conversation."""
        return self._fanout.audience(conversation_id)

    def forget(self, conversation_id: str) -> None:
        """A message of the conversation was deleted."""
        self._fanout.forget(conversation_id)

    def release(self, conversation_id: str, releases: Sequence[Release]) -> None:
        """Events of one conversation were committed here, ascending: tell every node."""
        if self.is_shared:
            payload = _encode(
                _Events(
                    self._node_id,
                    conversation_id,
                    [(one.seq, one.kind, one.sender, one.frame, one.named) for one in releases],
                )
            )
            self._bus.publish(_CONVERSATION + conversation_id, payload)
            if any(one.named for one in releases):
                self._bus.publish(_JOINS, payload)
        self._sequencer.release(conversation_id, releases)

    def expect(self, conversation_id: str, seq: int) -> None:
        """The event with this number is committed, and may not have been released here."""
        self._sequencer.expect(conversation_id, seq)

    def hint(self, conversation_id: str, by: str, data: bytes) -> None:
        """Send a frame that may be dropped to the conversation's connections, but not to those of
        the user whom it is about."""
        if self.is_shared:
            told = _Hint(self._node_id, conversation_id, by, data)
            self._bus.publish(_CONVERSATION + conversation_id, _encode(told))
        self._hub.hint(conversation_id, by, data)

    def push(self, usernames: Iterable[str], data: bytes, *, besides: str | None = None) -> None:
        """Send bytes of whole WebSocket frames to every connection of the users, but not to the
        connection that is left out. What does not arrive is found in INIT_DATA."""
        for username in usernames:
            if self.is_shared:
                told = _Push(self._node_id, username, data, besides)
                self._bus.publish(_USER + username, _encode(told))
            self._hub.send_to_user(username, data, besides=besides)

    async def heard(self) -> None:
        """Wait until this node hears the conversations whose rooms are open now."""
        for batch in (self._asked, self._next):
            if batch is not None:
                # Shielded: a waiter that is cancelled must not take the others with it.
                await asyncio.shield(batch)

    def _opened(self, room: Room) -> None:
        self._hear(_CONVERSATION + room.conversation_id, room)

    def _closed(self, room: Room) -> None:
        self._sequencer.closed(room.conversation_id)
        if self.is_shared:
            # From now on nobody here would hear of a deleted message.
            self._fanout.forget(room.conversation_id)
            self._unhear(_CONVERSATION + room.conversation_id)

    def _arrived(self, user: LocalUser) -> None:
        self._hear(_USER + user.username, None)

    def _departed(self, user: LocalUser) -> None:
        self._unhear(_USER + user.username)

    def _hear(self, topic: str, room: Room | None) -> None:
        self._opening[topic] = room
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
            if self._asked is None:
                self._asked = self._next
                self._tasks.start(self._subscribe(), name="hear rooms")

    def _unhear(self, topic: str) -> None:
        if self._opening.pop(topic, self) is self:
            self._bus.unsubscribe((topic,), self._heard)

    async def _subscribe(self) -> None:
        """Everything that one turn of the loop opened is asked for at once."""
        while self._next is not None:
            self._asked, self._next = self._next, None
            opening, self._opening = self._opening, {}
            try:
                await self._bus.subscribe(opening.keys(), self._heard)
            finally:
                self._asked.set_result(None)
            # A room that an event opened has a beginning already: what came between it and the
            # subscription was not heard.
            begun = [
                room.conversation_id
                for room in opening.values()
                if room is not None and room.released is not None
            ]
            if begun:
                self._tasks.start(self._check(begun), name="check rooms")
        self._asked = None

    async def _check(self, conversation_ids: list[str]) -> None:
        try:
            await self._sequencer.check(conversation_ids)
        except BackendError as error:
            logger.warning("rooms were not checked, which is done again: {}", error)

    def _heard(self, _: str, payload: bytes) -> None:
        told = _decode(payload)
        if told.node == self._node_id:
            return
        match told:
            case _Events(_, conversation_id, releases):
                if any(kind == EventKind.MESSAGE_DELETED for _, kind, *_ in releases):
                    self._fanout.forget(conversation_id)
                self._sequencer.release(
                    conversation_id,
                    [
                        Release(seq, EventKind(kind), sender, frame, named, is_foreign=True)
                        for seq, kind, sender, frame, named in releases
                    ],
                )
            case _Hint(_, conversation_id, by, data):
                self._hub.hint(conversation_id, by, data)
            case _Push(_, username, data, besides):
                self._hub.send_to_user(username, data, besides=besides)
