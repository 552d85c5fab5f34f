"""One open connection: read -> decode -> session -> dispatch -> reply.

Requests are answered one at a time, in their order; only those that append to a conversation are
pipelined, and keep their order in the journal. Limits: while `APPENDS_WAITING` of them wait, or one
other request is under way and more have come, nothing more is read from the socket.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final, NamedTuple

from chatd import ids
from chatd.auth import Principal
from chatd.clock import Clock
from chatd.delivery.outbox import Outbox
from chatd.dispatch import Dispatcher
from chatd.edge.frame_limits import Bucket, FrameLimits, is_flooding, wait_ms
from chatd.edge.keepalive import Keepalive
from chatd.edge.websocket import WebSocket
from chatd.metrics import Metrics
from chatd.services.presence import PING_SECONDS, Presence
from chatd.services.receipts import Receipts
from chatd.services.subscriptions import Subscriptions
from chatd.tasks import TaskOwner
from protocol import PROTOCOL_VERSION, pushes
from protocol.close import CloseCode
from protocol.codec import MalformedFrame, NotUtf8, decode, encode
from protocol.errors import ErrorCode
from protocol.framing import PING, text_message
from protocol.limits import Limits
from protocol.requests import Disconnect
from protocol.session import Door, NotAllowed, Session, State

APPENDS_WAITING: Final = 256
_LIMITS: Final = Limits()


class NodeContext(NamedTuple):
    """What every connection of a node uses."""

    dispatcher: Dispatcher
    subscriptions: Subscriptions
    presence: Presence
    receipts: Receipts
    keepalive: Keepalive
    clock: Clock
    metrics: Metrics
    tasks: TaskOwner
    log_id: str
    frame_limits: FrameLimits | None
    """None: frames come as fast as they like."""


class Connection:
    """Hears its WebSocket, and is the Caller of its requests."""

    __slots__ = (
        "_appending",
        "_awaits_pong",
        "_bucket",
        "_door",
        "_expiry",
        "_inbox",
        "_is_busy",
        "_is_paused",
        "_session",
        "_slot",
        "_socket",
        "_node",
        "connection_id",
        "outbox",
        "principal",
    )

    def __init__(
        self, socket: WebSocket, door: Door, principal: Principal, node: NodeContext
    ) -> None:
        self._socket = socket
        self._door = door
        self._node = node
        self._session = Session(door)
        self._inbox: deque[bytes | bytearray] | None = None
        """Messages that came while a request was under way; None while there are none."""
        self._is_busy = False
        self._is_paused = False
        self._appending = 0
        self._awaits_pong = False
        self._expiry: asyncio.TimerHandle | None = None
        self.connection_id = ids.new_connection_id()
        self.principal = principal
        self.outbox = Outbox(principal, socket.transport, self.shut, self.connection_id)
        self._bucket: Bucket | None = None
        self._slot = node.keepalive.add(self)
        self._watch_expiry()

    async def open(self, *, resumes: bool = False) -> None:
        """Send INFO, subscribe to what the user hears, and begin to read. Of a client that
        `resumes`, nothing that is in a conversation now is sent before its RESUME.

        Raises:
            BackendError: the store failed.
        """
        node = self._node
        self._send_info()
        if self._door is Door.CHAT:
            await node.subscriptions.connect(self.outbox, resumes=resumes)
        else:
            node.subscriptions.watch(self.outbox)
        await node.presence.connected(self.outbox, self.connection_id)
        if self.outbox.is_closed():
            # It ended meanwhile: its lease may have been taken after it was released.
            await node.presence.disconnected(self.outbox, self.connection_id)
            return
        self._session.opened()
        self._socket.start_reading()

    def shut(self, code: CloseCode) -> None:
        """Close with a code, after the callback that is under way."""
        if code is CloseCode.SLOW_CONSUMER:
            self._node.metrics.slow_consumers += 1
        asyncio.get_running_loop().call_soon(self._socket.close, code)

    # Caller

    def reply(self, frame: pushes.Reply) -> None:
        if isinstance(frame, pushes.Error):
            self._node.metrics.errors += 1
        self.outbox.reply(text_message(encode(frame)))

    def append_begun(self) -> None:
        self._appending += 1
        if self._appending == APPENDS_WAITING:
            self._update_reading()

    def append_done(self) -> None:
        self._appending -= 1
        if self._is_paused:
            self._update_reading()

    def run_beside(self, work: Coroutine[Any, Any, None]) -> None:
        self._node.tasks.start(work, name="request")

    # Receiver

    def message(self, data: bytes | bytearray) -> None:
        if self._is_busy:
            if self._inbox is None:
                self._inbox = deque()
            self._inbox.append(data)
            self._update_reading()
        else:
            self._handle(data)

    def binary(self) -> None:
        self._malformed(MalformedFrame("binary messages are not understood; send JSON as text"))

    def pong(self) -> None:
        if self._awaits_pong:
            self._awaits_pong = False
            node = self._node
            node.receipts.delivered(self.principal.username, self.outbox.take_confirmed())
            node.tasks.start(node.presence.renew(self.outbox, self.connection_id), name="renew")

    def pause_sending(self) -> None:
        self.outbox.pause()

    def resume_sending(self) -> None:
        self.outbox.resume()

    def closing(self) -> None:
        self._session.closing()
        self.outbox.close()
        self._inbox = None
        # Now, and not when the socket is gone: a client that is no longer there answers no close.
        node = self._node
        node.tasks.start(
            node.presence.disconnected(self.outbox, self.connection_id), name="disconnected"
        )

    def closed(self, *, clean: bool) -> None:
        node = self._node
        node.metrics.connections -= 1
        node.keepalive.remove(self, self._slot)
        if self._expiry is not None:
            self._expiry.cancel()
        if clean:
            confirmed = self.outbox.take_confirmed(everything=True)
            node.receipts.delivered(self.principal.username, confirmed)
        node.subscriptions.disconnect(self.outbox)

    # Pinged

    def ping(self) -> None:
        self._awaits_pong = True
        self.outbox.ping_sent()
        self.outbox.reply(PING)
        self._watch_expiry()

    def check_pong(self) -> None:
        # One that is closing for another reason is not counted here too.
        if self._awaits_pong and not self.outbox.is_closed():
            self._node.metrics.keepalive_timeouts += 1
            self._socket.close(CloseCode.INTERNAL_ERROR)

    def _handle(self, data: bytes | bytearray) -> None:
        try:
            request = decode(data)
        except NotUtf8:
            self._node.metrics.malformed += 1
            self._socket.fail(CloseCode.NOT_UTF8)
            return
        except MalformedFrame as error:
            self._malformed(error)
            return
        self._node.metrics.requests += 1
        if self._node.frame_limits is not None and self._is_too_fast(request.ref, type(request)):
            return
        try:
            self._session.request(request)
        except NotAllowed as error:
            self.reply(
                pushes.Error(ref=request.ref, code=error.code, msg=error.message, temporary=False)
            )
            return
        if isinstance(request, Disconnect):
            self._socket.close(CloseCode.BYE)
            return
        work = self._node.dispatcher.dispatch(self, request)
        if work is not None:
            self._is_busy = True
            self._node.tasks.start(work, name="request").add_done_callback(self._request_done)

    def _request_done(self, _: asyncio.Task[None]) -> None:
        self._is_busy = False
        while self._inbox and not self._is_busy:
            self._handle(self._inbox.popleft())
        if not self._inbox:
            self._inbox = None
        if self._is_paused:
            self._update_reading()

    def _is_too_fast(self, ref: str | None, kind: type | None) -> bool:
        limits = self._node.frame_limits
        assert limits is not None
        now = asyncio.get_running_loop().time()
        if self._bucket is None:
            self._bucket = limits.new_connection(now)
        bucket = limits.take(self._bucket, self.principal.username, kind, now)
        if bucket.tokens >= 0:
            return False
        self._node.metrics.rate_limited += 1
        self.reply(
            pushes.Error(
                ref=ref,
                code=ErrorCode.RATE_LIMITED,
                msg="too many frames; wait as long as retryAfterMs says",
                temporary=True,
                retry_after_ms=wait_ms(bucket),
            )
        )
        if is_flooding(bucket):
            self._node.metrics.floods += 1
            self._socket.close(CloseCode.FLOODING)
        return True

    def _malformed(self, error: MalformedFrame) -> None:
        self._node.metrics.malformed += 1
        if self._node.frame_limits is not None and self._is_too_fast(error.ref, None):
            return
        self.reply(pushes.Error(ref=error.ref, code=error.code, msg=error.message, temporary=False))
        if self._session.malformed():
            self._socket.close(CloseCode.PROTOCOL_ABUSE)

    def _update_reading(self) -> None:
        """Read from the socket only while what was read is being dealt with."""
        transport = self._socket.transport
        should_pause = self._appending >= APPENDS_WAITING or bool(self._inbox)
        if (
            should_pause is self._is_paused
            or transport.is_closing()
            or self._session.state is State.CLOSING
        ):
            return
        self._is_paused = should_pause
        if should_pause:
            transport.pause_reading()
        else:
            transport.resume_reading()

    def _watch_expiry(self) -> None:
        """Close when the token ends. Looked at with every ping, so a timer runs only for
        the last seconds."""
        left = self.principal.expires_at - self._node.clock.now_ms() / 1000
        if self._expiry is None and left <= PING_SECONDS + 1:
            loop = asyncio.get_running_loop()
            self._expiry = loop.call_later(
                max(left, 0), self._socket.close, CloseCode.TOKEN_EXPIRED
            )

    def _send_info(self) -> None:
        node = self._node
        info = pushes.Info(
            msg=f"Welcome to chatd, {self.principal.username}.",
            user=self.principal.username,
            connection_id=self.connection_id,
            protocol=PROTOCOL_VERSION,
            log_id=node.log_id,
            server_time=node.clock.now_ms(),
            limits=_LIMITS,
        )
        self.outbox.reply(text_message(encode(info)))
