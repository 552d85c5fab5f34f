# ruff: noqa: ASYNC109 - the deadline is an argument because the error says what was awaited
"""A small asyncio client of the chat and presence sockets: one connection, a method per request.

    async with ChatClient.connect("ws://127.0.0.1:4000/", token) as alice:
        ack = await alice.send_direct("bob", "hi")
        push = await alice.next_push(OneToOneChat)

Leaving the context closes the connection and raises what its reader failed with. It shows frames
as they come; `testclients.steady` is the client that reconnects, resumes and keeps the order.
"""

from collections.abc import Callable, Coroutine, Generator, Mapping
from types import TracebackType
from typing import Any

from protocol import requests
from protocol.pushes import Success
from testclients.asking import Asking
from testclients.connection import MAX_PUSHES, REQUEST_SECONDS, Connection, Sink
from testclients.errors import BadFrame
from testclients.events import Where
from testclients.handshake import TokenBy, open_socket
from testclients.positions import Positions


class ChatClient(Connection, Asking):
    """Every method that sends a request may raise what `request` does."""

    @classmethod
    def connect(
        cls,
        url: str,
        token: str | None,
        *,
        origin: str | None = None,
        token_by: TokenBy = "header",
        headers: Mapping[str, str] | None = None,
        resume: bool = False,
        max_pushes: int = MAX_PUSHES,
        positions: Positions | None = None,
        sink: Sink | None = None,
        open_timeout: float = 10.0,
        ping_interval: float | None = None,
    ) -> "Connecting":
        """Open a connection and wait for INFO. For `async with`, or to be awaited and closed.

        Args:
            url: ws:// or wss:// of the chat or presence socket.
            token: from a log-in; None sends none.
            token_by: which of the three places of the handshake carries it.
            resume: ask the server to send nothing of a conversation before `resume` named it.
            max_pushes: the size of `pushes`, and how many `next_push` keeps.
            positions: is told every push and ack in the order of arrival.
            sink: gets every frame in the order of arrival, instead of `pushes`.
            open_timeout: seconds for the handshake, and again for INFO.
            ping_interval: seconds between own pings; None sends none. The server's are
                always answered.

        Raises:
            CannotConnect: nobody listens, the handshake was refused, or no INFO came.
        """

        async def opening() -> ChatClient:
            ws, info = await open_socket(
                url,
                token,
                token_by=token_by,
                resume=resume,
                origin=origin,
                headers=headers,
                open_timeout=open_timeout,
                ping_interval=ping_interval,
            )
            return cls(ws, info, max_pushes, positions, sink)

        return Connecting(opening)

    async def send_direct(self, to: str, content: str, client_msg_id: str | None = None) -> Success:
        frame = requests.OneToOneChat(to=to, content=content, client_msg_id=client_msg_id)
        return await self._ask(frame, Success)

    async def send_group(
        self, group_id: str, content: str, client_msg_id: str | None = None
    ) -> Success:
        frame = requests.GroupChat(group_id=group_id, content=content, client_msg_id=client_msg_id)
        return await self._ask(frame, Success)

    async def leave_group(self, group_id: str) -> Success:
        reply = await super().leave_group(group_id)
        if self.positions is not None:
            self.positions.forget(group_id)
        return reply

    async def ack(self, where: Where, seq: int) -> Success:
        """The user has received everything up to `seq`."""
        frame = requests.Ack(chat_id=where.chat_id, group_id=where.group_id, seq=seq)
        return await self._ask(frame, Success)

    async def mark_read(self, where: Where, seq: int) -> Success:
        """The user has read everything up to `seq`."""
        frame = requests.MarkRead(chat_id=where.chat_id, group_id=where.group_id, seq=seq)
        return await self._ask(frame, Success)

    async def typing(self, where: Where, is_typing: bool) -> None:
        """Tell the others; there is no reply unless it is refused."""
        await self.send(
            requests.Typing(chat_id=where.chat_id, group_id=where.group_id, is_typing=is_typing)
        )

    async def resume(
        self, positions: Mapping[str, int], *, timeout: float | None = REQUEST_SECONDS
    ) -> Success:
        """Ask for the events after these numbers, by conversation; they come before the reply.

        `timeout` is in seconds from the request to the reply; None waits as long as the
        connection lasts.
        """
        reply = await self.request(requests.Resume(positions=dict(positions)), timeout=timeout)
        if not isinstance(reply, Success):
            raise BadFrame(f"RESUME was answered with {type(reply).__name__}")
        return reply


class Connecting:
    """What `ChatClient.connect` gives: awaited, or entered with `async with`; once."""

    def __init__(self, opening: Callable[[], Coroutine[Any, Any, ChatClient]]) -> None:
        self._opening = opening
        self._client: ChatClient | None = None

    def __await__(self) -> Generator[Any, None, ChatClient]:
        return self._opening().__await__()

    async def __aenter__(self) -> ChatClient:
        self._client = await self
        return self._client

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        assert self._client is not None
        await self._client.__aexit__(kind, error, tb)
