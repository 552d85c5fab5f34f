"""How far each user has received and read each conversation, and who is told.

A cursor is moved by ACK or MARK_READ, which are answered after their commit, or by what a pong or a
clean close confirms, which is gathered for a moment; what a crash loses of that is sent again and
recognised by its id. All moves that wait share the next commit.

Who is told: in a direct conversation the other user, in a group whoever posted one of the messages
that a move covers for the first time, of the newest 1,000 of them; and the user's own other
connections. In a group of more than `EACH_UP_TO` members the moves of `TOGETHER_SECONDS` are told
together: one frame to a sender, however many have moved.

Limits: `MOVES_WAITING` moves wait; at the limit they are refused with UNAVAILABLE. Of big groups'
moves as many wait as the groups have members.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from loguru import logger

from chatd.auth import Principal
from chatd.delivery.outbox import Outbox
from chatd.delivery.relay import Relay
from chatd.errors import BackendError, ChatError, invalid_field, not_a_member, unavailable
from chatd.metrics import Metrics
from chatd.services.gather import Gather
from chatd.services.where import where
from chatd.stores.conversation_store import (
    ConversationKind,
    ConversationStore,
    Cursor,
    Move,
    Moved,
)
from chatd.stores.ledger import Ledger
from chatd.tasks import TaskOwner
from protocol.codec import encode
from protocol.errors import ErrorCode
from protocol.framing import text_message
from protocol.pushes import DeliveryReceipt, ReadReceipt
from protocol.requests import Ack, MarkRead

MOVES_WAITING: Final = 20_000
MOVES_A_COMMIT: Final = 1_000
EACH_UP_TO: Final = 50
TOGETHER_SECONDS: Final = 1.0
_DRAIN_SECONDS: Final = 5.0

Answer = Callable[[ChatError | None], None]


class _Waiting(NamedTuple):
    move: Move
    origin: str
    """The connection that it came by."""
    done: Answer


class _Told(NamedTuple):
    """A move that happened and must be told."""

    move: Move
    moved: Moved
    origin: str | None
    """None for a move that no request made: the user's own connections need not hear of it."""


class Receipts:
    def __init__(
        self, conversations: ConversationStore, ledger: Ledger, relay: Relay, metrics: Metrics
    ) -> None:
        self._conversations = conversations
        self._ledger = ledger
        self._relay = relay
        self._metrics = metrics
        self._gather: Gather[tuple[str, str]] = Gather(self._store_gathered, "delivered cursors")
        self._waiting: list[_Waiting] = []
        self._tasks = TaskOwner()
        self._is_running = False
        self._committing = asyncio.Lock()
        self._telling = asyncio.Lock()
        """Taken in the order of the commits, so that nobody is told of a cursor going back."""
        self._together: dict[tuple[str, Cursor], dict[str, _Told]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def advance(
        self, principal: Principal, request: Ack | MarkRead, origin: Outbox, done: Answer
    ) -> None:
        """Move a cursor of the caller; `done` gets None after the commit, or why not.

        Raises:
            ChatError: INVALID_FIELD; UNAVAILABLE, too many moves wait.
        """
        place = where(request)
        if len(self._waiting) >= MOVES_WAITING:
            raise unavailable("the server has too much to write; send it again")
        if isinstance(request, Ack):
            cursor = Cursor.DELIVERED
            origin.acks = True
        else:
            cursor = Cursor.READ
        kind = ConversationKind.DIRECT if place.is_direct else ConversationKind.GROUP
        move = Move(place.conversation_id, principal.username, cursor, request.seq, kind)
        self._waiting.append(_Waiting(move, origin.connection_id, done))
        if not self._is_running:
            self._is_running = True
            self._tasks.start(self._run(), name="cursors")

    def delivered(self, username: str, cursors: Mapping[str, int]) -> None:
        """Everything up to these numbers, by conversation, has reached the user."""
        for conversation_id, seq in cursors.items():
            self._gather.put((conversation_id, username), seq)
        self._metrics.cursors_waiting = len(self._gather)

    def known(self, conversation_id: str, username: str, stored: int) -> int:
        """The delivered cursor, where `stored` is what the store says: a user who comes back at
        once is not sent again what it has."""
        return max(stored, self._gather.waiting((conversation_id, username)))

    async def drain(self) -> None:
        """Store everything that waits."""
        await self._tasks.finish(_DRAIN_SECONDS)
        await self._gather.drain()
        if self._timer is not None:
            self._timer.cancel()

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[:MOVES_A_COMMIT]
                del self._waiting[:MOVES_A_COMMIT]
                await self._commit(batch)
        finally:
            self._is_running = False

    async def _commit(self, batch: list[_Waiting]) -> None:
        try:
            results = await self._advance([waiting.move for waiting in batch])
        except BackendError as error:
            logger.warning("cursors were not stored: {}", error)
            _refuse(batch)
            return
        except Exception:
            _refuse(batch)
            raise
        told: list[_Told] = []
        for waiting, moved in zip(batch, results, strict=True):
            waiting.done(_refusal(moved))
            if moved.came_from is not None:
                told.append(_Told(waiting.move, moved, waiting.origin))
        await self._tell(told)

    async def _store_gathered(self, cursors: Mapping[tuple[str, str], int]) -> None:
        moves = [
            Move(conversation_id, username, Cursor.DELIVERED, seq)
            for (conversation_id, username), seq in cursors.items()
        ]
        results = await self._advance(moves)
        self._metrics.cursors_waiting = len(self._gather) - len(cursors)
        await self._tell(
            [
                _Told(move, moved, None)
                for move, moved in zip(moves, results, strict=True)
                if moved.came_from is not None
            ]
        )

    async def _advance(self, moves: list[Move]) -> list[Moved]:
        async with self._committing:
            return await self._conversations.advance(moves)

    async def _tell(self, told: list[_Told]) -> None:
        # Nothing is awaited between the end of a commit and this lock: first in, first out.
        async with self._telling:
            await self._tell_moves(told)

    async def _tell_moves(self, told: list[_Told]) -> None:
        groups: dict[str, list[_Told]] = {}
        for one in told:
            move, moved, origin = one
            own = [] if origin is None else [move.username]
            if moved.kind is ConversationKind.DIRECT:
                peer = [] if moved.peer is None else [moved.peer]
                await self._push(one, [*peer, *own])
            elif moved.member_count <= EACH_UP_TO:
                groups.setdefault(move.conversation_id, []).append(one)
            else:
                await self._push(one, own)
                self._tell_later(one)
        for conversation_id, moves in groups.items():
            posts = await self._posts(conversation_id, moves)
            for one in moves:
                covered = _senders(posts, one)
                own = [] if one.origin is None else [one.move.username]
                await self._push(one, [*covered, *own])

    async def _posts(self, conversation_id: str, moves: list[_Told]) -> list[tuple[int, str]]:
        """What the moves cover of those who are still members: number and sender."""
        try:
            posts = await self._ledger.posts(
                conversation_id,
                after=min(one.moved.came_from or 0 for one in moves),
                up_to=max(one.move.seq for one in moves),
            )
            senders = {sender for _, sender in posts}
            members = await self._conversations.members_among(conversation_id, senders)
            return [post for post in posts if post[1] in members]
        except BackendError as error:
            # The cursors are stored; whoever asks finds them.
            logger.warning("receipts of {} were not told: {}", conversation_id, error)
            return []

    def _tell_later(self, one: _Told) -> None:
        moves = self._together.setdefault((one.move.conversation_id, one.move.cursor), {})
        earlier = moves.get(one.move.username)
        if earlier is not None:
            moved = one.moved._replace(came_from=earlier.moved.came_from)
            one = one._replace(moved=moved)
        moves[one.move.username] = one
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(TOGETHER_SECONDS, self._begin_telling)

    def _begin_telling(self) -> None:
        self._timer = None
        together, self._together = self._together, {}
        self._tasks.start(self._tell_together(together), name="receipts")

    async def _tell_together(self, together: dict[tuple[str, Cursor], dict[str, _Told]]) -> None:
        async with self._telling:
            await self._tell_groups(together)

    async def _tell_groups(self, together: dict[tuple[str, Cursor], dict[str, _Told]]) -> None:
        for (conversation_id, _), by_user in together.items():
            moves = sorted(by_user.values(), key=lambda one: -one.move.seq)
            posts = await self._posts(conversation_id, moves)
            senders = _covered(posts, moves)
            # Nobody is told of itself: whoever got furthest is told of the next.
            furthest = moves[0].move.username
            await self._push(moves[0], sorted(senders - {furthest}), others=len(moves) - 1)
            if furthest in senders and len(moves) > 1:
                await self._push(moves[1], [furthest], others=len(moves) - 2)

    async def _push(self, one: _Told, usernames: list[str], *, others: int = 0) -> None:
        if not usernames:
            return
        move, moved, origin = one
        frame_type = ReadReceipt if move.cursor is Cursor.READ else DeliveryReceipt
        is_direct = moved.kind is ConversationKind.DIRECT
        frame = frame_type(
            chat_id=move.conversation_id if is_direct else None,
            group_id=None if is_direct else move.conversation_id,
            username=move.username,
            seq=move.seq,
            others=others or None,
        )
        self._metrics.receipts += len(usernames)
        self._relay.push(usernames, text_message(encode(frame)), besides=origin)


def _refuse(batch: list[_Waiting]) -> None:
    for waiting in batch:
        waiting.done(unavailable("the cursor may not have moved; send it again"))


def _refusal(moved: Moved) -> ChatError | None:
    if moved.code is ErrorCode.NOT_A_MEMBER:
        return not_a_member()
    if moved.code is ErrorCode.INVALID_FIELD:
        return invalid_field("seq", f"the conversation's last event is {moved.head}")
    return None


def _covered(posts: list[tuple[int, str]], moves: list[_Told]) -> set[str]:
    """Whoever posted what one of the moves of others covers for the first time."""
    begins = sorted(one.moved.came_from or 0 for one in moves)
    ends = sorted(one.move.seq for one in moves)
    by_user = {one.move.username: one for one in moves}
    senders: set[str] = set()
    for seq, sender in posts:
        covering = bisect_left(begins, seq) - bisect_left(ends, seq)
        own = by_user.get(sender)
        if own is not None and (own.moved.came_from or 0) < seq <= own.move.seq:
            covering -= 1
        if covering:
            senders.add(sender)
    return senders


def _senders(posts: list[tuple[int, str]], one: _Told) -> list[str]:
    """Whoever posted what the move covers for the first time."""
    move, came_from = one.move, one.moved.came_from or 0
    return sorted(
        {sender for seq, sender in posts if came_from < seq <= move.seq and sender != move.username}
    )
