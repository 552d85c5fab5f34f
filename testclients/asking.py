"""A method per request: what every client can ask, whatever connection it goes over."""

from typing import TypeVar

from protocol import requests
from protocol.limits import HISTORY_PAGE_DEFAULT
from protocol.model import HistoryVisibility
from protocol.pushes import (
    GroupChatHistory,
    InitData,
    OneToOneChatHistory,
    Pong,
    Reply,
    ReplyFrame,
    Success,
)
from protocol.requests import Request
from testclients.errors import BadFrame
from testclients.events import Where

R = TypeVar("R", bound=ReplyFrame)


class Asking:
    """Every method may raise what `request` does."""

    async def request(self, frame: Request) -> Reply:
        """Send a request and give its reply, which is never an ERROR."""
        raise NotImplementedError

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
        return await self._ask(requests.LeaveGroup(group_id=group_id), Success)

    async def open_chat(self, to: str) -> Success:
        return await self._ask(requests.NewOneToOneChat(to=to), Success)

    async def edit(
        self, where: Where, id: str, content: str, *, version: int | None = None
    ) -> Success:
        """Replace what a message says; `version` is the one that the caller has seen."""
        frame = requests.EditMessage(
            chat_id=where.chat_id, group_id=where.group_id, id=id, content=content, version=version
        )
        return await self._ask(frame, Success)

    async def delete(self, where: Where, id: str) -> Success:
        frame = requests.DeleteMessage(chat_id=where.chat_id, group_id=where.group_id, id=id)
        return await self._ask(frame, Success)

    async def react(self, where: Where, id: str, emoji: str, *, remove: bool = False) -> Success:
        frame = requests.React(
            chat_id=where.chat_id, group_id=where.group_id, id=id, emoji=emoji, remove=remove
        )
        return await self._ask(frame, Success)

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
