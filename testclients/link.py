"""One connection of a client that stays connected: what it catches up with, takes in and sends.

Rules of this file: frames are dealt with where the reader hands them over, in the order of arrival
and without an await, so that a reply never overtakes the events before it. One task sends. What
outlives the connection is in `Kept`.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, NoReturn

import msgspec

from protocol import pushes, requests
from protocol.errors import ErrorCode
from protocol.limits import PRESENCE_USERS, RESUME_POSITIONS
from protocol.pushes import GroupChat, OneToOneChat, Reply, ReplyFrame, ServerFrame
from protocol.requests import Request
from testclients.client import ChatClient
from testclients.connection import REQUEST_SECONDS
from testclients.conversation_list import Ask, every_conversation
from testclients.echo import event_of
from testclients.errors import ClientError, Overdue, RequestFailed, first_of_group
from testclients.events import Event, Where, where_of
from testclients.http import ListedConversation
from testclients.kept import Kept
from testclients.mending import Mending
from testclients.notices import Gone, Happening, LogRenewed, Rewound
from testclients.outbox import WINDOW
from testclients.typing_notices import REF as TYPING_REF

Answered = Callable[[Reply], None]


class _Posted(NamedTuple):
    request: Request
    answered: Answered


class Link:
    def __init__(self, kept: Kept, ask_list: Ask | None = None) -> None:
        """`ask_list` gives the pages of the list of conversations; None when there are none to be
        had."""
        self._kept = kept
        self._ask_list = ask_list
        self._connection: ChatClient | None = None
        self._posted: dict[str, _Posted] = {}
        """What was sent by `post` and has no reply yet, by `ref`."""
        self._asking: set[asyncio.Future[Reply]] = set()
        self._last_ref = 0
        self._queue: deque[Request] = deque()
        self._work = asyncio.Event()
        self._replied = asyncio.Event()
        self._is_online = False
        """It has caught up: posts may go out."""
        self._is_over = False
        self._opened_at = 0.0
        self._has_acked = False
        self._mending = Mending(kept.timer, kept.order, self._resume, lambda _: self.cut())

    @property
    def connection(self) -> ChatClient:
        assert self._connection is not None, "connected"
        return self._connection

    def begin(self, connection: ChatClient) -> None:
        """The connection is open, and nothing of it was read but INFO."""
        kept = self._kept
        self._connection = connection
        self._opened_at = kept.timer.now()
        log_id = connection.info.log_id
        if kept.log_id is not None and kept.log_id != log_id:
            kept.order.forget()
            kept.cursors.forget()
            kept.taken.clear()
            kept.is_new = True
            kept.inbox.put([LogRenewed(log_id)])
        kept.log_id = log_id
        kept.order.connected(connection.user)

    async def run(self, online: Callable[[], None]) -> NoReturn:
        """Catch up, say that it is `online`, and send what there is to send until the connection
        ends; raises what ended it."""
        kept = self._kept
        with first_of_group():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send())
                tasks.create_task(self._raise_end())
                await self._catch_up()
                self._is_online = True
                kept.outbox.wake = self._work.set
                kept.cursors.connected(self.post)
                self._work.set()
                online()
        raise AssertionError("a connection ends with a reason")

    async def confirmed(self) -> None:
        """Wait until the server has confirmed the cursors, or the connection ended."""
        self._kept.cursors.hurry()
        while not (self._is_over or self._kept.cursors.is_settled):
            self._replied.clear()
            await self._replied.wait()

    def end(self, error: ClientError) -> None:
        """The connection is over: its reader waits for nobody any more, and nobody for replies."""
        self._is_over = True
        self._replied.set()
        for replied in self._asking:
            if not replied.done():
                replied.set_exception(error)
        self._mending.stop()
        self._kept.outbox.wake = lambda: None
        self._kept.outbox.disconnected()
        self._kept.cursors.disconnected()
        self._kept.inbox.nudge()

    def cut(self) -> None:
        """End the connection at once; another one brings what this one lacks."""
        if self._connection is not None:
            self._connection.cut()

    def post(self, frame: Request, answered: Answered) -> None:
        """Send a request when its turn comes; `answered` gets the reply, ERROR or not, unless the
        connection ends before."""
        self._last_ref += 1
        ref = f"p{self._last_ref}"
        frame = msgspec.structs.replace(frame, ref=ref)
        self._posted[ref] = _Posted(frame, answered)
        self._queue.append(frame)
        self._work.set()

    def tell(self, frame: Request) -> None:
        """Send what has no reply, unless much waits to be sent."""
        if len(self._queue) < WINDOW:
            self._queue.append(frame)
            self._work.set()

    async def ask(self, frame: Request) -> Reply:
        """As `Connection.request`, but a reply that comes too late is still taken in."""
        replied: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def answered(reply: Reply) -> None:
            if not replied.done():
                replied.set_result(reply)

        self.post(frame, answered)
        self._asking.add(replied)
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                reply = await replied
        except TimeoutError:
            raise Overdue(
                f"no reply to {type(frame).__name__} within {REQUEST_SECONDS:g} s"
            ) from None
        finally:
            self._asking.discard(replied)
        if isinstance(reply, pushes.Error):
            raise RequestFailed(reply.code, reply.msg, reply.temporary, reply.retry_after_ms)
        return reply

    async def receive(self, frame: ServerFrame, request: Request | None) -> None:
        """Take in a frame, and wait for room; `request` is what it replies to, if that is awaited.

        The reader's sink.
        """
        inbox = self._kept.inbox
        inbox.put(self._take(frame, request))
        while inbox.is_full and not self._is_over:
            await inbox.change()

    async def _catch_up(self) -> None:
        """Ask for everything that was missed; it has come when this returns."""
        kept, connection = self._kept, self.connection
        data = await connection.init_data()
        self._know((Where(chat_id=chat.chat_id), chat.delivered_seq) for chat in data.chats)
        self._know((Where(group_id=group.group_id), group.delivered_seq) for group in data.groups)
        if data.has_more and self._ask_list is not None:
            listed = await every_conversation(self._ask_list)
            self._know((_where_of_listed(one), one.delivered_seq) for one in listed)
        kept.is_new = False
        positions = list(kept.order.positions.items())
        most = min(connection.info.limits.resume_positions, RESUME_POSITIONS)
        for start in range(0, len(positions), most):
            batch = dict(positions[start : start + most])
            kept.order.resuming(batch)
            # However long it takes to read: the time is the application's.
            reply = await connection.resume(batch, timeout=None)
            for code in (reply.errors or {}).values():
                if code is not ErrorCode.NOT_A_MEMBER:
                    raise RequestFailed(code, "a conversation cannot be resumed", True, None)
        watched = list(kept.watched)
        for start in range(0, len(watched), PRESENCE_USERS):
            users = watched[start : start + PRESENCE_USERS]
            self.post(requests.SubscribePresence(users=users), lambda _: None)

    async def _raise_end(self) -> NoReturn:
        # Not only what is sent or awaited on the connection notices its end: neither is meanwhile.
        raise await self.connection.ended()

    async def _send(self) -> NoReturn:
        while True:
            await self._work.wait()
            self._work.clear()
            while (frame := self._next_frame()) is not None:
                await self.connection.send(frame)

    def _next_frame(self) -> Request | None:
        if not self._queue:
            if not self._is_online:
                return None
            entry = self._kept.outbox.next_due()
            if entry is None:
                return None
            self.post(entry.frame, partial(self._kept.outbox.answered, entry))
        return self._queue.popleft()

    def _know(self, conversations: Iterable[tuple[Where, int]]) -> None:
        """Conversations of the user with its delivered cursors: unknown ones begin, at the first
        connect where the user's devices have got to, later at their beginning."""
        kept = self._kept
        for where, delivered in conversations:
            position = delivered if kept.is_new else 0
            kept.order.begin(where.id, position)
            kept.taken.setdefault(where.id, position)
            self._ack_alone_counts(where)

    def _ack_alone_counts(self, where: Where) -> None:
        """Once a connection has sent an ACK, nothing else makes events delivered: not a pong, which
        says that they have come, but not that the application had them. This one moves nothing."""
        if not self._has_acked:
            self._has_acked = True
            self.post(
                requests.Ack(chat_id=where.chat_id, group_id=where.group_id, seq=0), lambda _: None
            )

    def _take(self, frame: ServerFrame, request: Request | None) -> Sequence[Happening]:
        if isinstance(frame, Event):
            return self._event(frame)
        if isinstance(frame, ReplyFrame):
            return self._reply(frame, request)
        if isinstance(frame, pushes.Resync):
            return self._resync(frame)
        return [frame]

    def _event(self, event: Event) -> list[Happening]:
        kept = self._kept
        where = where_of(event)
        assert where is not None, "an event is of a conversation"
        self._ack_alone_counts(where)
        if isinstance(event, OneToOneChat | GroupChat) and event.from_ == self.connection.user:
            kept.outbox.arrived(event)
        due = kept.order.take(event)
        if kept.order.is_full:
            self.cut()
        self._mending.look(where.id)
        return list(due)

    def _reply(self, reply: Reply, request: Request | None) -> list[Happening]:
        if reply.ref == TYPING_REF:
            self._kept.typing.end()
            return []
        posted = self._posted.pop(reply.ref, None) if reply.ref is not None else None
        if posted is not None:
            request = posted.request
        due: list[Happening] = []
        if isinstance(reply, pushes.Success) and request is not None:
            if isinstance(request, requests.Resume):
                due = self._resumed(request.positions, reply.errors or {})
            else:
                event = event_of(self.connection.user, request, reply, self._now_ms())
                due = [] if event is None else self._event(event)
        if posted is not None:
            posted.answered(reply)
            self._replied.set()
        elif request is None and isinstance(reply, pushes.Error):
            due.append(reply)  # about nothing that is known here
        return due

    def _resumed(
        self, positions: Mapping[str, int], errors: Mapping[str, ErrorCode]
    ) -> list[Happening]:
        order = self._kept.order
        due: list[Happening] = []
        for conversation in positions:
            code = errors.get(conversation)
            if code is None:
                due += order.resumed(conversation)
            elif code is ErrorCode.NOT_A_MEMBER:
                due += order.refused(conversation)
                due.append(Gone(conversation))
                self._kept.taken.pop(conversation, None)
            self._mending.answered(conversation)
        return due

    def _resync(self, frame: pushes.Resync) -> list[Happening]:
        where = where_of(frame)
        if where is None or frame.after_seq > 0 or not self._kept.order.rewind(where.id):
            return []
        self._kept.cursors.forget(where)
        self._kept.taken[where.id] = 0
        return [Rewound(where.id)]

    def _resume(self, conversation: str, last: int) -> None:
        """Ask again for what is missing on the open connection."""
        frame = requests.Resume(positions={conversation: last})
        self.post(frame, partial(self._resume_answered, conversation))

    def _resume_answered(self, conversation: str, reply: Reply) -> None:
        if isinstance(reply, pushes.Error):
            # As good as no answer: a connection that cannot be mended is replaced.
            self._mending.answered(conversation)

    def _now_ms(self) -> int:
        """The time of the server, about."""
        seconds = self._kept.timer.now() - self._opened_at
        return self.connection.info.server_time + int(seconds * 1000)


def _where_of_listed(listed: ListedConversation) -> Where:
    return Where(chat_id=listed.id) if listed.type == "direct" else Where(group_id=listed.id)
