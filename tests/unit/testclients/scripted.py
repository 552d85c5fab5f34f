"""A server that does what the test says: real sockets, typed frames, no rules of its own."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self, TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response

from protocol import decode, encode, requests
from protocol.errors import ErrorCode
from protocol.limits import Limits
from protocol.model import ChatSummary, GroupSummary, Role, User
from protocol.pushes import (
    Error,
    Info,
    InitData,
    OneToOneChat,
    Resync,
    ServerFrame,
    Success,
)
from protocol.requests import Request

R = TypeVar("R", bound=requests.Frame)

ALICE: Final = "alice"
CHAT: Final = "alice-bob"


class Peer:
    """The server's end of one connection."""

    def __init__(self, ws: ServerConnection) -> None:
        assert ws.request is not None
        self.ws = ws
        query = parse_qs(urlsplit(ws.request.path).query)
        self.asks_to_resume = query.get("resume") == ["1"]
        self.token = ws.request.headers["Authorization"].removeprefix("Bearer ")
        self.passed_over: list[Request] = []

    async def send(self, *frames: ServerFrame) -> None:
        for frame in frames:
            await self.ws.send(encode(frame).decode())

    async def take(self, kind: type[R]) -> R:
        """The next request of a type; others that come before it are in `passed_over`."""
        while True:
            frame = decode(await self.ws.recv(decode=False))
            if isinstance(frame, kind):
                return frame
            self.passed_over.append(frame)

    async def answer(self, request: Request, reply: Success | None = None) -> None:
        reply = Success() if reply is None else reply
        await self.send(msgspec.structs.replace(reply, ref=request.ref))

    async def refuse(
        self, request: Request, code: ErrorCode, *, retry_after_ms: int | None = None
    ) -> None:
        temporary = code in (ErrorCode.UNAVAILABLE, ErrorCode.RATE_LIMITED)
        await self.send(
            Error(
                ref=request.ref,
                code=code,
                msg="no",
                temporary=temporary,
                retry_after_ms=retry_after_ms,
            )
        )

    async def tell(
        self,
        chats: Sequence[ChatSummary] = (),
        groups: Sequence[GroupSummary] = (),
        *,
        has_more: bool = False,
    ) -> None:
        """Answer INIT_DATA."""
        asked = await self.take(requests.InitData)
        await self.send(
            InitData(
                ref=asked.ref,
                user=User(username=ALICE),
                chats=list(chats),
                groups=list(groups),
                has_more=has_more,
            )
        )

    async def asked_to_resume(
        self, chats: Sequence[ChatSummary] = (), groups: Sequence[GroupSummary] = ()
    ) -> requests.Resume:
        """Answer INIT_DATA; the RESUME that follows."""
        await self.tell(chats, groups)
        return await self.take(requests.Resume)

    async def catch_up(
        self,
        *events: ServerFrame,
        chats: Sequence[ChatSummary] = (),
        groups: Sequence[GroupSummary] = (),
        errors: dict[str, ErrorCode] | None = None,
    ) -> dict[str, int]:
        """Answer INIT_DATA, and RESUME with these events. Returns the positions that it named."""
        resume = await self.asked_to_resume(chats, groups)
        await self.send(*events)
        await self.answer(resume, Success(errors=errors))
        return resume.positions

    def cut(self) -> None:
        self.ws.transport.abort()


class ScriptedServer:
    """For `async with`. Says INFO by itself; all else is the test's."""

    def __init__(self, *, log_id: str = "log") -> None:
        self.log_id = log_id
        self.refusals: list[int] = []
        """HTTP statuses for the next handshakes."""
        self.knocks = 0
        """Handshakes, refused ones too."""
        self._peers: asyncio.Queue[Peer] = asyncio.Queue()
        self._open: set[Peer] = set()
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            process_request=self._knock,
            compression=None,
            ping_interval=None,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"

    async def accept(self) -> Peer:
        """The next connection, which has been sent INFO."""
        return await self._peers.get()

    def cut(self) -> None:
        """Cut all connections: nobody is to wait for what the test does not answer."""
        for peer in self._open:
            peer.cut()

    def _knock(self, ws: ServerConnection, request: HttpRequest) -> Response | None:
        self.knocks += 1
        if self.refusals:
            return ws.respond(HTTPStatus(self.refusals.pop(0)), "no\n")
        return None

    async def _serve(self, ws: ServerConnection) -> None:
        peer = Peer(ws)
        await peer.send(
            Info(
                msg="hello",
                user=ALICE,
                connection_id="c",
                protocol=1,
                log_id=self.log_id,
                server_time=1_000_000,
                limits=Limits(),
            )
        )
        self._peers.put_nowait(peer)
        self._open.add(peer)
        # The test receives; the end of this method would close the connection.
        try:
            await ws.wait_closed()
        except ConnectionClosed:
            pass
        finally:
            self._open.discard(peer)


def message(seq: int, content: str = "hi", **more: object) -> OneToOneChat:
    """A message of bob to alice, unless `more` says otherwise."""
    fields: dict[str, object] = {
        "id": f"m{seq}",
        "seq": seq,
        "prev": seq - 1,
        "chat_id": CHAT,
        "from_": "bob",
        "to": ALICE,
        "content": content,
        "sent_at": seq,
    }
    return OneToOneChat(**(fields | more))  # type: ignore[arg-type]


def chat(delivered: int = 0, last: int = 0, chat_id: str = CHAT) -> ChatSummary:
    return ChatSummary(
        chat_id=chat_id,
        peer="bob",
        last_seq=last,
        delivered_seq=delivered,
        read_seq=0,
        unread=0,
    )


def group(delivered: int = 0, group_id: str = "g") -> GroupSummary:
    return GroupSummary(
        group_id=group_id,
        name="club",
        role=Role.MEMBER,
        member_count=2,
        last_seq=delivered,
        delivered_seq=delivered,
        read_seq=0,
        unread=0,
    )


def rewound(chat_id: str = CHAT) -> Resync:
    return Resync(chat_id=chat_id, after_seq=0)
