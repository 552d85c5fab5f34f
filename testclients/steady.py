"""A client that stays connected: it reconnects, resumes, keeps the order and what is to be sent.

    async with SteadyClient(url, Credentials(server, login)) as alice:
        entry = alice.post_direct("bob", "hi")       # goes out when it can; kept until it is acked
        happening = await alice.next()               # events in order and once, and what else comes

Whatever is lost with a connection comes again on the next one. Events of a conversation are given
out by `next` in the order of their numbers, each once, own ones too, whether an event or an ack
told of them. What `next` has given out is acked to the server when the following one is asked for.

The first connect, too, asks with `?resume=1`: INIT_DATA tells the conversations with the user's
delivered cursors, and RESUME from there brings what a plain connect would have pushed. So a
position is known from the beginning, exactly, and there is one way to catch up and not two.
INIT_DATA holds the 200 most recent; when there are more, all are read from the HTTP API.

Limits: with a bare token there is no HTTP API to ask. A conversation beyond the 200 is not resumed
then (and so silent) until something brings it back among these, unless the caller gives its
position. An edit, a delete or a reaction is sent once and now, or not at all: `OutcomeUnknown`
says that the connection was lost in between.
"""

import asyncio
import random as chance
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Final, NoReturn, Self

from protocol import requests
from protocol.close import CloseCode
from protocol.pushes import Reply, Success
from protocol.requests import Request
from testclients.asking import Asking
from testclients.backoff import Backoff
from testclients.client import ChatClient
from testclients.connection_state import ConnectionState, Phase
from testclients.credentials import Credentials
from testclients.cursors import Cursors
from testclients.errors import (
    BadFrame,
    ClientError,
    ConnectionLost,
    NotConnected,
    OutcomeUnknown,
)
from testclients.events import Event, Where, where_of
from testclients.inbox import MAX_HAPPENINGS, Inbox
from testclients.kept import Kept
from testclients.link import Link
from testclients.notices import Happening
from testclients.order import Order
from testclients.outbox import MAX_ENTRIES, Entry, Outbox, Post
from testclients.reconnecting import Reconnecting
from testclients.timer import LoopTimer, Timer
from testclients.typing_notices import TypingNotices

PING_SECONDS: Final = 20.0
"""Between own pings: a connection that is dead without a word is found out."""
CLOSE_SECONDS: Final = 2.0
"""How long closing waits for the last cursors to be confirmed."""
_READING: Final = (
    requests.GetOneToOneHistory,
    requests.GetGroupChatHistory,
    requests.InitData,
    requests.Ping,
    requests.SubscribePresence,
)


class SteadyClient(Asking):
    """For `async with`: connects on entering, and closes on leaving."""

    def __init__(
        self,
        url: str,
        credentials: Credentials | str,
        *,
        positions: Mapping[str, int] | None = None,
        log_id: str | None = None,
        on_state: Callable[[ConnectionState], None] | None = None,
        on_entry: Callable[[Entry], None] | None = None,
        max_happenings: int = MAX_HAPPENINGS,
        max_entries: int = MAX_ENTRIES,
        backoff: Backoff | None = None,
        timer: Timer | None = None,
        random: Callable[[], float] = chance.random,
    ) -> None:
        """
        Args:
            url: ws:// or wss:// of the chat socket.
            credentials: with a bare token there is none to take its place when it expires, and
                no list of conversations but that of INIT_DATA.
            positions, log_id: what another client of the same device had at its end.
            on_state: is told of every state of the connection, while waiting once a second.
            on_entry: is told of every state of a post.
            max_happenings: what is not taken by `next` before nothing more is read.
            max_entries: posts that wait, or have failed.
            backoff: how long to wait between tries, and how many there are.
            timer, random: for tests.
        """
        self._url = url
        self._credentials = credentials
        self._on_state = on_state
        self._timer = LoopTimer() if timer is None else timer
        order = Order()
        for conversation, last in (positions or {}).items():
            order.begin(conversation, last)
        self._kept = Kept(
            timer=self._timer,
            order=order,
            inbox=Inbox(self._consumed, max_happenings=max_happenings),
            outbox=Outbox(self._timer, random, max_entries=max_entries, on_change=on_entry),
            cursors=Cursors(self._timer),
            typing=TypingNotices(self._timer, self._tell),
            taken=dict(positions or {}),
            log_id=log_id,
            is_new=positions is None or log_id is None,
        )
        self._link: Link | None = None
        self._user: str | None = None
        self._is_closing = False
        self._changed = asyncio.Event()
        self._reconnecting = Reconnecting(
            self._attempt,
            credentials.renew if isinstance(credentials, Credentials) else None,
            self._timer,
            Backoff(random) if backoff is None else backoff,
            self._note_state,
        )
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._run(), name="a steady client")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def state(self) -> ConnectionState:
        return self._reconnecting.state

    @property
    def user(self) -> str:
        """Whose client it is; known once it was connected."""
        assert self._user is not None, "it was connected"
        return self._user

    @property
    def entries(self) -> list[Entry]:
        """The posts that wait or have failed, oldest first."""
        return list(self._kept.outbox)

    @property
    def positions(self) -> dict[str, int]:
        """By conversation, the number up to which the caller has dealt with everything."""
        return {id: self._kept.taken.get(id, 0) for id in self._kept.order.positions}

    @property
    def log_id(self) -> str | None:
        """Of which log the positions are."""
        return self._kept.log_id

    async def online(self) -> None:
        """Wait until it is connected and has caught up.

        Raises:
            ClientError: it has given up.
            NotConnected: it is closed.
        """
        while self.state.phase is not Phase.ONLINE:
            if self.state.phase is Phase.FAILED and self.state.cause is not None:
                raise self.state.cause
            if self.state.phase is Phase.CLOSED:
                raise NotConnected
            self._changed.clear()
            await self._changed.wait()

    def try_now(self) -> None:
        """Do not wait for the next try; after a failure, begin anew."""
        self._kept.inbox.end(None)
        self._reconnecting.try_now()

    async def next(self) -> Happening:
        """The oldest event, other frame or notice; the one before is dealt with, and so acked.

        One call at a time.

        Raises:
            ClientError: there is none, and the client has given up or was closed.
        """
        return await self._kept.inbox.next()

    def take_all(self) -> list[Happening]:
        """Everything that `next` would give at once; all of it counts as dealt with."""
        return self._kept.inbox.take_all()

    def post_direct(self, to: str, content: str, *, reply_to: str | None = None) -> Entry:
        """Send a message as soon as that is possible, and until it is stored.

        Raises:
            OutboxFull
            TooLarge
            NotConnected: the client is closed.
        """
        return self._post(requests.OneToOneChat(to=to, content=content, reply_to=reply_to))

    def post_group(self, group_id: str, content: str, *, reply_to: str | None = None) -> Entry:
        """As `post_direct`."""
        return self._post(requests.GroupChat(group_id=group_id, content=content, reply_to=reply_to))

    def retry(self, entry: Entry) -> None:
        """Try a failed post again; it is stored once even if it was before."""
        self._kept.outbox.retry(entry)

    def discard(self, entry: Entry) -> None:
        """Give up a post that has failed, or that was never sent."""
        self._kept.outbox.delete(entry)

    def mark_read(self, where: Where, seq: int) -> None:
        """The user has read everything up to `seq`; the server is told in a moment."""
        self._move(requests.MarkRead, where, seq)

    def typing(self, where: Where, is_typing: bool) -> None:
        """The user types there, until this is called again with False."""
        if is_typing:
            self._kept.typing.start(where)
        else:
            self._kept.typing.stop(where)

    async def subscribe_presence(self, users: list[str]) -> Success:
        """As of every client; on later connections it is done by itself."""
        reply = await super().subscribe_presence(users)
        self._kept.watched.update(dict.fromkeys(users))
        return reply

    async def request(self, frame: Request) -> Reply:
        """Send a request now and give its reply, which is never an ERROR.

        Raises:
            NotConnected: nothing was sent.
            RequestFailed: the reply is an ERROR.
            OutcomeUnknown: the connection was lost before the reply to a request that changes
                something; another one raises ConnectionLost.
            Overdue: no reply came in time; the outcome is unknown.
        """
        link = self._link
        if link is None or self.state.phase is not Phase.ONLINE:
            raise NotConnected
        try:
            return await link.ask(frame)
        except ConnectionLost as error:
            if isinstance(frame, _READING):
                raise
            raise OutcomeUnknown(type(frame).__name__, error.code, error.reason) from None

    async def close(self) -> None:
        """Ack what was dealt with, and close; what was not sent has failed."""
        if self._running is None:
            return
        self._kept.typing.end()
        if self._link is not None and self.state.phase is Phase.ONLINE:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._link.confirmed()
        self._is_closing = True
        running, self._running = self._running, None
        running.cancel()
        await asyncio.wait([running])
        self._reconnecting.closed()
        self._kept.outbox.give_up(ConnectionLost(CloseCode.BYE, "closed here"))
        self._kept.inbox.end(NotConnected())
        if not running.cancelled() and (error := running.exception()) is not None:
            raise error

    async def _run(self) -> None:
        try:
            await self._reconnecting.run()
        except Exception as error:
            # Whoever waits must not wait for ever.
            self._reconnecting.fail(ClientError(f"this is a bug of the client: {error!r}"))
            raise

    async def _attempt(self, online: Callable[[], None]) -> NoReturn:
        credentials = self._credentials
        token, ask_list = (
            (credentials.token, credentials.conversations)
            if isinstance(credentials, Credentials)
            else (credentials, None)
        )
        link = Link(self._kept, ask_list)
        connection = await ChatClient.connect(
            self._url,
            token,
            resume=True,
            sink=link.receive,
            ping_interval=PING_SECONDS,
        )
        self._user = connection.user
        self._link = link
        why: ClientError = ConnectionLost(CloseCode.BYE, "closed here")
        try:
            link.begin(connection)
            await link.run(online)
        except ClientError as error:
            why = error
            raise
        finally:
            self._link = None
            link.end(why)
            with suppress(BadFrame):  # it has failed what was awaited
                await (connection.close() if self._is_closing else connection.abort())

    def _note_state(self, state: ConnectionState) -> None:
        if state.phase is Phase.FAILED and state.cause is not None:
            self._kept.outbox.give_up(state.cause)
            self._kept.inbox.end(state.cause)
        self._changed.set()
        if self._on_state is not None:
            self._on_state(state)

    def _post(self, frame: Post) -> Entry:
        if self.state.phase is Phase.CLOSED:
            raise NotConnected
        return self._kept.outbox.add(frame)

    def _consumed(self, event: Event) -> None:
        where = where_of(event)
        if where is None or not self._kept.order.is_member(where.id):
            return  # it was left with this event, or is gone
        self._kept.taken[where.id] = event.seq
        self._move(requests.Ack, where, event.seq)

    def _move(
        self, kind: type[requests.Ack] | type[requests.MarkRead], where: Where, seq: int
    ) -> None:
        self._kept.cursors.move(kind, where, seq)

    def _tell(self, frame: requests.Typing) -> None:
        if self._link is not None and self.state.phase is Phase.ONLINE:
            self._link.tell(frame)
