"""A small asyncio client of the chat and presence sockets: a connection, and a method per request.

    async with ChatClient.connect("ws://127.0.0.1:4000/", token) as alice:
        ack = await alice.send_direct("bob", "hi")
        push = await alice.next_push(OneToOneChat)

Leaving the context closes the connection and raises what its reader failed with.
"""

from collections.abc import Callable, Coroutine, Generator, Mapping
from types import TracebackType
from typing import Any, TypeVar

from protocol import requests
from protocol.limits import HISTORY_PAGE_DEFAULT
from protocol.model import HistoryVisibility
from protocol.pushes import (
    GroupChatHistory,
    InitData,
    OneToOneChatHistory,
    Pong,
    ReplyFrame,
    Success,
)
from protocol.requests import Request
from testclients.connection import MAX_PUSHES, Connection
from testclients.errors import BadFrame
from testclients.handshake import TokenBy, open_socket
from testclients.positions import Positions

R = TypeVar("R", bound=ReplyFrame)


class ChatClient(Connection):
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
        max_pushes: int = MAX_PUSHES,
        positions: Positions | None = None,
        open_timeout: float = 10.0,
        ping_interval: float | None = None,
    ) -> "Connecting":
        """Open a connection and wait for INFO. For `async with`, or to be awaited and closed.

        Args:
            url: ws:// or wss:// of the chat or presence socket.
            token: from a log-in; None sends none.
            token_by: which of the three places of the handshake carries it.
            max_pushes: the size of `pushes`, and how many `next_push` keeps.
            positions: is told every push and ack in the order of arrival.
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
                origin=origin,
                headers=headers,
                open_timeout=open_timeout,
                ping_interval=ping_interval,
            )
            return cls(ws, info, max_pushes, positions)

        return Connecting(opening)

    async def send_direct(self, to: str, content: str, client_msg_id: str | None = None) -> Success:
        frame = requests.OneToOneChat(to=to, content=content, client_msg_id=client_msg_id)
        return await self._ask(frame, Success)

    async def send_group(
        self, group_id: str, content: str, client_msg_id: str | None = None
    ) -> Success:
        frame = requests.GroupChat(group_id=group_id, content=content, client_msg_id=client_msg_id)
        return await self._ask(frame, Success)

    async def history_direct(
        self,
        to: str,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = HISTORY_PAGE_DEFAULT,
    ) -> OneToOneChatHistory:
        frame = requests.GetOneToOneHistory(to=to, before=before, after=after, limit=limit)
        return await self._ask(frame, OneToOneChatHistory)

    async def history_group(
        self,
        group_id: str,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = HISTORY_PAGE_DEFAULT,
    ) -> GroupChatHistory:
        frame = requests.GetGroupChatHistory(
            group_id=group_id, before=before, after=after, limit=limit
        )
        return await self._ask(frame, GroupChatHistory)

    async def create_group(
        self,
        name: str,
        members: list[str] | None = None,
        *,
        open: bool = False,
        history: HistoryVisibility = HistoryVisibility.JOINED,
    ) -> Success:
        frame = requests.CreateGroup(name=name, members=members or [], open=open, history=history)
        return await self._ask(frame, Success)

    async def join_group(self, group_id: str, invite: str | None = None) -> Success:
        return await self._ask(requests.JoinGroup(group_id=group_id, invite=invite), Success)

    async def leave_group(self, group_id: str) -> Success:
        reply = await self._ask(requests.LeaveGroup(group_id=group_id), Success)
        if self.positions is not None:
            self.positions.forget(group_id)
        return reply

    async def open_chat(self, to: str) -> Success:
        return await self._ask(requests.NewOneToOneChat(to=to), Success)

    async def init_data(self) -> InitData:
        return await self._ask(requests.InitData(), InitData)

    async def subscribe_presence(self, users: list[str]) -> Success:
        return await self._ask(requests.SubscribePresence(users=users), Success)

    async def ping(self) -> Pong:
        return await self._ask(requests.Ping(), Pong)

    async def _ask(self, frame: Request, kind: type[R]) -> R:
        reply = await self.request(frame)
        if not isinstance(reply, kind):
            raise BadFrame(f"{type(frame).__name__} was answered with {type(reply).__name__}")
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
