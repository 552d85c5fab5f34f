"""The HTTP API as far as a client asks it by itself: new tokens, and the list of conversations."""

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, Literal, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

import msgspec

from testclients.http import ConversationPage, ListedConversation
from tests.unit.testclients.scripted import ALICE

_PROBLEM: Final = {"code": "UNAUTHENTICATED", "detail": "no"}


class Asked(NamedTuple):
    """A request for a page of the list; it waits until it is answered."""

    token: str
    cursor: str | None
    reply: "asyncio.Future[tuple[int, object]]"

    def answer(self, conversations: Iterable[ListedConversation], next: str | None = None) -> None:
        # One stranger's field: a client takes what it needs.
        page = msgspec.to_builtins(ConversationPage(list(conversations), next))
        self.reply.set_result((200, page | {"unknown": True}))

    def refuse(self, status: int) -> None:
        self.reply.set_result((status, _PROBLEM | {"status": status}))


class ApiServer:
    """For `async with`. Gives new tokens by itself; the pages of the list are the test's."""

    def __init__(self) -> None:
        self.refreshed: list[str] = []
        """The refresh tokens that came."""
        self.refresh_status = 200
        self.requests = 0
        self._asked: asyncio.Queue[Asked] = asyncio.Queue()
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def asked(self) -> Asked:
        """The next request for a page of the list."""
        return await self._asked.get()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        self.requests += 1
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.splitlines()
        method, target, _ = first.split()
        headers = {
            name.lower(): text for name, _, text in (line.partition(": ") for line in lines if line)
        }
        if method == "POST":
            body = await reader.readexactly(int(headers["content-length"]))
            status, answer = self._refresh(msgspec.json.decode(body))
        else:
            status, answer = await self._list(target, headers["authorization"])
        content = msgspec.json.encode(answer)
        writer.write(
            b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
            % (status, len(content))
            + content
        )
        await writer.drain()
        writer.close()
        self._open.discard(writer)

    def _refresh(self, body: Any) -> tuple[int, object]:
        self.refreshed.append(body["refreshToken"])
        if self.refresh_status != 200:
            return self.refresh_status, _PROBLEM | {"status": self.refresh_status}
        return 200, {
            "token": f"token {len(self.refreshed)}",
            "refreshToken": f"refresh {len(self.refreshed)}",
            "expiresIn": 60,
            "user": {"username": ALICE},
        }

    async def _list(self, target: str, authorization: str) -> tuple[int, object]:
        url = urlsplit(target)
        assert url.path == "/api/conversations"
        query = parse_qs(url.query)
        reply: asyncio.Future[tuple[int, object]] = asyncio.get_running_loop().create_future()
        self._asked.put_nowait(
            Asked(authorization.removeprefix("Bearer "), query.get("cursor", [None])[0], reply)
        )
        return await reply


def listed(
    id: str, last: int = 0, delivered: int = 0, *, type: Literal["direct", "group"] = "group"
) -> ListedConversation:
    return ListedConversation(id, type, last, delivered)
