"""What a connection hears: it is put into the rooms of its user's conversations, live where it is
up to date, behind where it missed something; and RESUME, by which it says itself what it has."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from loguru import logger

from chatd.auth import Principal
from chatd.delivery.catchup import Catchup, send_resync
from chatd.delivery.hub import Behind, Filling, Hub, LocalUser, Room
from chatd.delivery.lacking import add, below, take
from chatd.delivery.outbox import Outbox
from chatd.errors import BackendError, ChatError
from chatd.services.receipts import Receipts
from chatd.stores.conversation_store import ConversationKind, ConversationStore, Membership
from chatd.stores.ledger import Ledger
from chatd.tasks import TaskOwner
from protocol import limits
from protocol.close import CloseCode
from protocol.errors import ErrorCode
from protocol.pushes import Success
from protocol.requests import Resume

_READS_OF_MEMBERSHIPS: Final = 5
RESUMES_WAITING: Final = 8
"""Of one connection; at the limit RESUME answers RATE_LIMITED."""


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
        self._backlogs: dict[Outbox, deque[tuple[Room, Behind]]] = {}
        """What each connection has to catch up with by itself; one task for each works on it."""
        self._catching_up: dict[Outbox, asyncio.Task[None]] = {}
        self._resuming: dict[Outbox, deque[asyncio.Future[None]]] = {}
        """RESUMEs under way, the running one first."""
        hub.fell_behind = self._catch_up

    async def connect(self, outbox: Outbox, *, resumes: bool = False) -> None:
        """Put the connection into its rooms and send it what it missed; or nothing of
        what is there now until it `resumes`.

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
            self._attach(outbox, user, rooms, heads, resumes=resumes)
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

    async def resume(self, principal: Principal, outbox: Outbox, request: Resume) -> Success:
        """Send the connection the events above the positions that it lacks; the reply for when all
        were sent. Nothing that it was sent comes again.

        Raises:
            ChatError: TOO_LARGE, or RATE_LIMITED when too many of them wait.
            BackendError: the store failed; the connection is closed, so that it comes back and
                asks again.
        """
        if len(request.positions) > limits.RESUME_POSITIONS:
            raise ChatError(
                ErrorCode.TOO_LARGE,
                f"`positions`: {len(request.positions)} of them,"
                f" at most {limits.RESUME_POSITIONS} at once",
            )
        waiting = self._resuming.setdefault(outbox, deque())
        if len(waiting) >= RESUMES_WAITING:
            raise ChatError(
                ErrorCode.RATE_LIMITED,
                f"{RESUMES_WAITING} RESUMEs are under way; wait for one to be answered",
                retry_after_ms=1000,
            )
        ours: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        before = waiting[-1] if waiting else None
        waiting.append(ours)
        try:
            if before is not None:
                await asyncio.shield(before)
            errors = await self._resume(outbox, request.positions)
        except BackendError:
            outbox.shut(CloseCode.INTERNAL_ERROR)
            raise
        finally:
            waiting.remove(ours)
            ours.set_result(None)
            if not waiting and self._resuming.get(outbox) is waiting:
                del self._resuming[outbox]
        return Success(ref=request.ref, errors=errors or None)

    async def _resume(self, outbox: Outbox, positions: dict[str, int]) -> dict[str, ErrorCode]:
        user = self._hub.users.get(outbox.principal.username)
        if user is None:
            return {}
        rooms = user.rooms
        heads = await self._heads_beyond(positions, rooms)
        memberships = await self._memberships(user, positions)
        work: list[Coroutine[Any, Any, None]] = []
        errors: dict[str, ErrorCode] = {}
        for conversation_id, position in positions.items():
            membership, room = memberships.get(conversation_id), rooms.get(conversation_id)
            if membership is None:
                errors[conversation_id] = ErrorCode.NOT_A_MEMBER
                continue
            if room is None or not room.holds(outbox):
                # Nothing was ever said in it, or the connection is ending.
                if position:
                    is_direct = membership.kind is ConversationKind.DIRECT
                    send_resync(outbox, conversation_id, 0, is_direct=is_direct)
                continue
            is_beyond = position > heads.get(conversation_id, position)
            served = self._serve(
                outbox, room, 0 if is_beyond else position, membership.floor, is_beyond=is_beyond
            )
            if served is not None:
                work.append(served)
        try:
            while work:
                await work.pop(0)
        finally:
            for unserved in work:
                unserved.close()
        # What it was catching up with by itself comes before the reply too.
        under_way = self._catching_up.get(outbox)
        if under_way is not None:
            await asyncio.wait([under_way])
        return errors

    async def _memberships(
        self, user: LocalUser, positions: dict[str, int]
    ) -> dict[str, Membership]:
        """The user's memberships, as this node has applied them."""
        self._hub.load(user)
        try:
            for _ in range(_READS_OF_MEMBERSHIPS):
                user.moved.difference_update(positions)
                memberships = await self._conversations.memberships(user.username)
                if user.moved.isdisjoint(positions):
                    break
            # Who comes and goes all the time is served where it stays.
            return {
                membership.conversation_id: membership
                for membership in memberships
                if membership.conversation_id not in user.moved
            }
        finally:
            self._hub.loaded(user)

    async def _heads_beyond(
        self, positions: dict[str, int], rooms: dict[str, Room]
    ) -> dict[str, int]:
        """The heads of the conversations whose position is above what this node has told."""
        beyond = [
            conversation_id
            for conversation_id, position in positions.items()
            if (room := rooms.get(conversation_id)) is not None
            and room.released is not None
            and position > room.released
        ]
        if not beyond:
            return {}
        heads = await self._ledger.heads(beyond)
        return {conversation_id: heads.get(conversation_id, 0) for conversation_id in beyond}

    def _serve(
        self, outbox: Outbox, room: Room, position: int, floor: int, *, is_beyond: bool
    ) -> Coroutine[Any, Any, None] | None:
        """What sends a connection the events above `position` that it lacks. The events are its
        from now on: a second RESUME does not ask for them again."""
        start = max(position, floor)
        behind = room.behind.get(outbox)
        if behind is not None and behind.is_held:
            assert room.released is not None
            behind.is_held = behind.only_own = False
            behind.position = start
            behind.lacking = below(start)
            behind.offline_up_to = room.released
            if is_beyond:
                behind.resync_after = 0
            return self._catchup.run(outbox, room, behind)
        if is_beyond:
            send_resync(outbox, room.conversation_id, 0, is_direct=room.is_direct)
        if behind is None:
            ranges, room.live[outbox] = take(room.live[outbox], start)
        else:
            # It says itself what it has: what its user wrote last may be lacking too.
            behind.only_own = False
            if start > behind.position:
                behind.lacking = add(behind.lacking, behind.position, start)
                behind.position = start
            ranges, behind.lacking = take(behind.lacking, start)
        if not ranges:
            return None
        filling = room.filling[outbox] = Filling()
        return self._catchup.fill(outbox, room, ranges, filling)

    def _open_rooms(
        self, user: LocalUser, memberships: list[Membership]
    ) -> list[tuple[Room, Membership]]:
        return [
            (
                self._hub.open_room(
                    membership.conversation_id,
                    user,
                    is_direct=membership.kind is ConversationKind.DIRECT,
                ),
                membership,
            )
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
        *,
        resumes: bool,
    ) -> None:
        for room, membership in rooms:
            # The user may have left, or a join may have put the connection in, while
            # the heads were read.
            if user.rooms.get(room.conversation_id) is not room or room.holds(outbox):
                continue
            if room.released is None:
                room.released = heads.get(room.conversation_id, 0)
            if resumes:
                room.hold(outbox)
                continue
            delivered = self._receipts.known(
                room.conversation_id, user.username, membership.delivered
            )
            behind = room.attach(outbox, max(delivered, membership.floor))
            if behind is not None:
                self._catch_up(outbox, room, behind)

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
