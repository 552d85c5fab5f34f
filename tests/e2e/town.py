"""The users of one test and their connections, each checked to the end of the test."""

import asyncio
from collections.abc import Iterable
from itertools import count
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar

from chatd.ids import direct_id
from protocol import pushes
from protocol.pushes import GroupChat, OneToOneChat, PresenceUpdate, Receipt, ServerFrame
from testclients import http
from testclients.client import ChatClient
from testclients.positions import Positions
from tests.support.node import Node

PASSWORD: Final = "correct horse battery"
F = TypeVar("F", bound=pushes.Frame)

_numbers: Final = count(1)


class Resident(NamedTuple):
    """A user, with the tokens of its registration."""

    name: str
    token: str
    refresh_token: str


class Town:
    """For `async with`. On leaving, every connection is closed, and must have been sent the events
    of each conversation in the order of their numbers, each once and none left out."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._clients: list[ChatClient] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await asyncio.gather(*(client.close() for client in self._clients))
        if error is None:
            for client in self._clients:
                problems = [] if client.positions is None else client.positions.problems
                assert problems == [], f"{client.user}: {problems[:5]}"

    async def settle(self, name: str = "user") -> Resident:
        """A new user, whose name begins with `name` and is nobody else's."""
        login = await http.register(self.node.http_url, f"{name}{next(_numbers)}", PASSWORD)
        return Resident(login.user.username, login.token, login.refresh_token)

    async def settle_all(self, *names: str) -> list[Resident]:
        return list(await asyncio.gather(*map(self.settle, names)))

    async def connect(
        self,
        who: Resident,
        *,
        token: str | None = None,
        presence: bool = False,
        resumes: bool = False,
        **more: Any,
    ) -> ChatClient:
        """A connection of the user, with its own token or another; `more` as for the client.

        With `positions=None` what it is sent is not checked. Who `resumes` is sent nothing of the
        conversations that are there before it asks.
        """
        url = self.node.presence_url if presence else self.node.chat_url
        if resumes:
            url += "?resume=1"
        more.setdefault("positions", Positions())
        client = await ChatClient.connect(url, token or who.token, **more)
        self._clients.append(client)
        return client

    async def connect_all(self, *everyone: Resident) -> list[ChatClient]:
        """A connection of each."""
        return [await self.connect(who) for who in everyone]

    async def online(self, *names: str) -> list[ChatClient]:
        """New users, each with one connection."""
        return await self.connect_all(*await self.settle_all(*names))


def chat_of(one: ChatClient | Resident, other: ChatClient | Resident) -> str:
    """The id of the direct conversation of two users."""
    return direct_id(_name(one), _name(other))


def _name(who: ChatClient | Resident) -> str:
    return who.user if isinstance(who, ChatClient) else who.name


async def everything(client: ChatClient) -> list[ServerFrame]:
    """What the connection was sent and nobody has taken, up to now: a PING is answered in its turn.

    Presence is left out: it comes when it likes.
    """
    await client.ping()
    return [frame for frame in client.take_all() if not isinstance(frame, PresenceUpdate)]


async def take(client: ChatClient, kind: type[F], number: int) -> list[F]:
    """The next pushes of a type, as many as are named."""
    return [await client.next_push(kind) for _ in range(number)]


def contents(frames: Iterable[ServerFrame]) -> list[str]:
    return [frame.content for frame in frames if isinstance(frame, OneToOneChat | GroupChat)]


def seqs(frames: Iterable[ServerFrame], conversation_id: str) -> list[int]:
    """The numbers of the conversation's events, in the order of the frames."""
    found: list[int] = []
    for frame in frames:
        seq: int | None = getattr(frame, "seq", None)
        names = (getattr(frame, "chat_id", None), getattr(frame, "group_id", None))
        if seq is not None and conversation_id in names and not isinstance(frame, Receipt):
            found.append(seq)
    return found
