"""What a connection hears: it is put into the rooms of its user's conversations, live where it is
up to date, behind where it missed something."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from loguru import logger

from chatd.delivery.catchup import Catchup
from chatd.delivery.hub import Hub, LocalUser
from chatd.delivery.outbox import Outbox
from chatd.delivery.relay import Relay
from chatd.delivery.room import Behind, Room
from chatd.delivery.sequencer import Sequencer
from chatd.errors import BackendError
from chatd.services.receipts import Receipts
from chatd.stores.conversation_store import ConversationKind, ConversationStore, Membership
from chatd.stores.ledger import Ledger
from chatd.tasks import TaskOwner
from protocol.close import CloseCode

_RETRY_SECONDS: Final = 1.0


class Subscriptions:
    def __init__(
        self,
        hub: Hub,
        conversations: ConversationStore,
        ledger: Ledger,
        receipts: Receipts,
        catchup: Catchup,
        settled: Callable[[], Awaitable[None]],
        sequencer: Sequencer,
        relay: Relay,
    ) -> None:
        self._hub = hub
        self._conversations = conversations
        self._ledger = ledger
        self._receipts = receipts
        self._catchup = catchup
        self._settled = settled
        """Waits until what is committed now was released on this node."""
        self._sequencer = sequencer
        self._relay = relay
        self._tasks = TaskOwner()
        self._backlogs: dict[Outbox, deque[tuple[Room, Behind]]] = {}
        """What each connection has to catch up with by itself; one task for each works on it."""
        self._catching_up: dict[Outbox, asyncio.Task[None]] = {}
        self._coming: dict[tuple[LocalUser, str], bool] = {}
        """Users who have come into conversations, and whether there is more to find out. At most
        one task works on each."""
        hub.fell_behind = self._catch_up
        sequencer.latecomers = self._latecomers

    async def connect(self, outbox: Outbox, *, resumes: bool = False) -> None:
        """Put the connection into its rooms and send it what it missed; or nothing of
        what is there now until it `resumes`.

        The order closes every gap: the user is registered first, so joins and leaves are applied
        from then on; then its memberships are read and their rooms opened and heard on the bus, so
        events are counted from then on; then the heads of rooms that nobody had open are read; then
        what is committed by now is let be released, so that no room opens above what this node has
        told of its own.

        Raises:
            BackendError: the store failed; the connection must be closed.
        """
        user = self._hub.enter(outbox)
        user.entering[outbox] = resumes
        try:
            await self._enter(
                user,
                [outbox],
                lambda: self._conversations.memberships(user.username),
                resumes=resumes,
            )
        finally:
            del user.entering[outbox]
            self._hub.loaded(user)

    def watch(self, outbox: Outbox) -> None:
        """The connection hears no conversations, only what concerns its user."""
        self._hub.watch(outbox)

    def disconnect(self, outbox: Outbox) -> None:
        """The connection is gone."""
        self._hub.leave(outbox)

    async def stop(self) -> None:
        await self._tasks.cancel()

    async def caught_up(self, outbox: Outbox) -> None:
        """Wait for what the connection is catching up with by itself."""
        under_way = self._catching_up.get(outbox)
        if under_way is not None:
            await asyncio.wait([under_way])

    def _latecomers(self, conversation_id: str, usernames: tuple[str, ...]) -> None:
        for username in usernames:
            user = self._hub.users.get(username)
            if user is None:
                continue
            room = user.rooms.get(conversation_id)
            if room is None or not all(map(room.holds, user.outboxes)):
                key = user, conversation_id
                if key not in self._coming:
                    self._tasks.start(self._come(user, conversation_id), name="latecomer")
                self._coming[key] = True

    async def _come(self, user: LocalUser, conversation_id: str) -> None:
        """Put the connections of a user who is here into a conversation that it has come into, by
        an event that this node has not heard at its time; again and again while the store fails."""
        key = user, conversation_id
        try:
            while self._coming[key] and self._hub.users.get(user.username) is user:
                self._coming[key] = False
                try:
                    await self._try_to_come(user, conversation_id)
                except BackendError as error:
                    logger.warning("{} does not hear {}: {}", user.username, conversation_id, error)
                    self._coming[key] = True
                    await asyncio.sleep(_RETRY_SECONDS)
        finally:
            del self._coming[key]

    async def _try_to_come(self, user: LocalUser, conversation_id: str) -> None:
        async def read() -> list[Membership]:
            one = await self._conversations.membership(conversation_id, user.username)
            return [] if one is None else [one]

        self._hub.load(user)
        try:
            await self._enter(user, list(user.outboxes), read, resumes=None)
        finally:
            self._hub.loaded(user)

    async def _enter(
        self,
        user: LocalUser,
        outboxes: list[Outbox],
        read: Callable[[], Awaitable[list[Membership]]],
        *,
        resumes: bool | None,
    ) -> None:
        """Put connections of a user into the rooms of its memberships. `resumes` is None when they
        were here before the memberships."""
        memberships = await read()
        if all(outbox.is_closed() for outbox in outboxes):
            return
        rooms = self._open_rooms(user, memberships)
        await self._relay.heard()
        unknown = [room.conversation_id for room in rooms if room.released is None]
        if unknown:
            heads = await self._ledger.heads(unknown)
            if self._relay.is_shared:
                # Who left before this node heard the conversation has left by the head: from there
                # on events tell.
                memberships = await read()
        await self._settled()
        left = {room.conversation_id: room for room in rooms}
        for membership in memberships:
            room = left.pop(membership.conversation_id, None)
            # The user may have left, or a join may have put the connection in, meanwhile.
            if room is None or user.rooms.get(room.conversation_id) is not room:
                continue
            if membership.floor:
                user.floors[room.conversation_id] = membership.floor
            if room.released is None:
                self._sequencer.opened(room, heads.get(room.conversation_id, 0))
            for outbox in outboxes:
                if user.rooms.get(room.conversation_id) is room:
                    self._attach(outbox, room, membership, resumes=resumes)
        for room in left.values():
            if user.rooms.get(room.conversation_id) is room and not any(
                room.holds(outbox) for outbox in user.outboxes
            ):
                self._hub.left(room.conversation_id, user.username)

    def _attach(
        self, outbox: Outbox, room: Room, membership: Membership, *, resumes: bool | None
    ) -> None:
        if outbox.is_closed() or room.holds(outbox):
            return
        if resumes or (resumes is None and self._hub.is_held_back(outbox)):
            room.hold(outbox)
            return
        if resumes is None:
            behind = room.attach(outbox, max(membership.joined_seq - 1, 0), was_here=True)
        else:
            delivered = self._receipts.known(
                membership.conversation_id, outbox.principal.username, membership.delivered
            )
            behind = room.attach(outbox, max(delivered, membership.floor))
        if behind is not None:
            self._catch_up(outbox, room, behind)

    def _open_rooms(self, user: LocalUser, memberships: list[Membership]) -> list[Room]:
        return [
            self._hub.open_room(
                membership.conversation_id,
                user,
                is_direct=membership.kind is ConversationKind.DIRECT,
            )
            for membership in memberships
            if membership.conversation_id not in user.left
        ]

    def _catch_up(self, outbox: Outbox, room: Room, behind: Behind) -> None:
        backlog = self._backlogs.get(outbox)
        if backlog is not None:
            backlog.append((room, behind))
            return
        self._backlogs[outbox] = deque([(room, behind)])
        self._catching_up[outbox] = self._tasks.start(
            self._run(outbox), name=f"catch-up of {outbox.principal.username}"
        )

    async def _run(self, outbox: Outbox) -> None:
        backlog = self._backlogs[outbox]
        try:
            while backlog:
                room, behind = backlog.popleft()
                await self._catchup.run(outbox, room, behind)
        except BackendError as error:
            # It comes back, and what it lacks is found again: its delivered cursor has not moved.
            logger.warning("catch-up of {} failed: {}", outbox.principal.username, error)
            outbox.shut(CloseCode.INTERNAL_ERROR)
        except Exception:
            outbox.shut(CloseCode.INTERNAL_ERROR)
            raise
        finally:
            del self._backlogs[outbox], self._catching_up[outbox]
