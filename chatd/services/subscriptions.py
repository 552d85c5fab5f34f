"""What a new connection hears: it is put into the rooms of its user's conversations, live where it
is up to date, behind where it missed something."""

from collections.abc import Awaitable, Callable

from loguru import logger

from chatd.delivery.catchup import Catchup
from chatd.delivery.hub import Behind, Hub, LocalUser, Room
from chatd.delivery.outbox import Outbox
from chatd.errors import BackendError
from chatd.services.receipts import Receipts
from chatd.stores.conversation_store import ConversationStore, Membership
from chatd.stores.ledger import Ledger
from chatd.tasks import TaskOwner
from protocol.close import CloseCode


class Subscriptions:
    def __init__(
        self,
        hub: Hub,
        conversations: ConversationStore,
        ledger: Ledger,
        receipts: Receipts,
        catchup: Catchup,
        settled: Callable[[], Awaitable[None]],
    ) -> None:
        self._hub = hub
        self._conversations = conversations
        self._ledger = ledger
        self._receipts = receipts
        self._catchup = catchup
        self._settled = settled
        """Waits until what is committed now was released on this node."""
        self._tasks = TaskOwner()
        hub.fell_behind = lambda outbox, room, behind: self._catch_up(outbox, [(room, behind)])

    async def connect(self, outbox: Outbox) -> None:
        """Put the connection into its rooms and send it what it missed.

        The order closes every gap: the user is registered first, so joins and leaves are applied
        from then on; then its memberships are read and their rooms opened, so events are counted
        from then on; then the heads of rooms that nobody had open are read; then what is committed
        by now is let be released, so that no room opens above what this node has told.

        Raises:
            BackendError: the store failed; the connection must be closed.
        """
        user = self._hub.enter(outbox)
        try:
            memberships = await self._conversations.memberships(outbox.principal.username)
            if outbox.is_closed():
                return
            rooms = self._open_rooms(user, memberships)
            heads = await self._heads(rooms)
            await self._settled()
            if outbox.is_closed():
                return
            self._attach(outbox, user, rooms, heads)
        finally:
            self._hub.loaded(user)

    def watch(self, outbox: Outbox) -> None:
        """The connection hears no conversations, only what concerns its user."""
        self._hub.watch(outbox)

    def disconnect(self, outbox: Outbox) -> None:
        """The connection is gone."""
        self._hub.leave(outbox)

    async def stop(self) -> None:
        await self._tasks.cancel()

    def _open_rooms(
        self, user: LocalUser, memberships: list[Membership]
    ) -> list[tuple[Room, Membership]]:
        return [
            (self._hub.open_room(membership.conversation_id, user), membership)
            for membership in memberships
            if membership.conversation_id not in user.left
        ]

    async def _heads(self, rooms: list[tuple[Room, Membership]]) -> dict[str, int]:
        unknown = [room.conversation_id for room, _ in rooms if room.released is None]
        return await self._ledger.heads(unknown) if unknown else {}

    def _attach(
        self,
        outbox: Outbox,
        user: LocalUser,
        rooms: list[tuple[Room, Membership]],
        heads: dict[str, int],
    ) -> None:
        backlog: list[tuple[Room, Behind]] = []
        for room, membership in rooms:
            # The user may have left, or a join may have put the connection in, while
            # the heads were read.
            if user.rooms.get(room.conversation_id) is not room or room.holds(outbox):
                continue
            if room.released is None:
                room.released = heads.get(room.conversation_id, 0)
            delivered = self._receipts.known(
                room.conversation_id, user.username, membership.delivered
            )
            behind = room.attach(outbox, max(delivered, membership.floor))
            if behind is not None:
                backlog.append((room, behind))
        if backlog:
            self._catch_up(outbox, backlog)

    def _catch_up(self, outbox: Outbox, backlog: list[tuple[Room, Behind]]) -> None:
        self._tasks.start(
            self._run(outbox, backlog), name=f"catch-up of {outbox.principal.username}"
        )

    async def _run(self, outbox: Outbox, backlog: list[tuple[Room, Behind]]) -> None:
        try:
            await self._catchup.run(outbox, backlog)
        except BackendError as error:
            # It comes back, and what it lacks is found again: its delivered cursor has not moved.
            logger.warning("catch-up of {} failed: {}", outbox.principal.username, error)
            outbox.shut(CloseCode.INTERNAL_ERROR)
