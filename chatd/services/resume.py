"""RESUME: a connection says itself what it has, and is sent what it lacks above that."""

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final

from chatd.auth import Principal
from chatd.delivery.catchup import Catchup, send_resync
from chatd.delivery.hub import Hub, LocalUser
from chatd.delivery.lacking import add, below, take
from chatd.delivery.outbox import Outbox
from chatd.delivery.room import Filling, Room
from chatd.errors import BackendError, ChatError
from chatd.services.subscriptions import Subscriptions
from chatd.stores.conversation_store import ConversationKind, ConversationStore, Membership
from chatd.stores.ledger import Ledger
from protocol import limits
from protocol.close import CloseCode
from protocol.errors import ErrorCode
from protocol.pushes import Success
from protocol.requests import Resume

RESUMES_WAITING: Final = 8
"""Of one connection; at the limit RESUME answers RATE_LIMITED."""
_READS_OF_MEMBERSHIPS: Final = 5


class Resumes:
    def __init__(
        self,
        hub: Hub,
        conversations: ConversationStore,
        ledger: Ledger,
        catchup: Catchup,
        subscriptions: Subscriptions,
    ) -> None:
        self._hub = hub
        self._conversations = conversations
        self._ledger = ledger
        self._catchup = catchup
        self._subscriptions = subscriptions
        self._resuming: dict[Outbox, deque[asyncio.Future[None]]] = {}
        """Those under way, the running one first."""

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
        served_rooms: dict[str, Room] = {}
        errors: dict[str, ErrorCode] = {}
        for conversation_id, position in positions.items():
            membership, room = memberships.get(conversation_id), rooms.get(conversation_id)
            if membership is None:
                errors[conversation_id] = ErrorCode.NOT_A_MEMBER
                continue
            if room is None or not room.holds(outbox):
                # Nothing was ever said in it, or the connection is ending; or this node has not
                # heard yet that the user has come into it.
                if position > heads.get(conversation_id, 0):
                    is_direct = membership.kind is ConversationKind.DIRECT
                    send_resync(outbox, conversation_id, 0, is_direct=is_direct)
                continue
            is_beyond = position > heads.get(conversation_id, position)
            served = self._serve(
                outbox, room, 0 if is_beyond else position, membership.floor, is_beyond=is_beyond
            )
            if served is not None:
                work.append(served)
                served_rooms[conversation_id] = room
        try:
            while work:
                await work.pop(0)
        finally:
            for unserved in work:
                unserved.close()
        for conversation_id, room in served_rooms.items():
            if rooms.get(conversation_id) is not room:
                # The user was removed meanwhile: what came before that may be lacking.
                errors[conversation_id] = ErrorCode.NOT_A_MEMBER
        # What it was catching up with by itself comes before the reply too.
        await self._subscriptions.caught_up(outbox)
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
        """The heads of the conversations whose position is above what this node has told, or that
        it tells nothing of."""
        beyond = [
            conversation_id
            for conversation_id, position in positions.items()
            if position
            and (
                (room := rooms.get(conversation_id)) is None
                or room.released is None
                or position > room.released
            )
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
