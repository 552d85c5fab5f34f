"""Requests about conversations of either kind, and what is asked of the frames that come."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
import pytest

from protocol import requests
from protocol.errors import ErrorCode
from protocol.limits import HISTORY_PAGE
from protocol.pushes import (
    GroupChatHistory,
    GroupCreated,
    OneToOneChatHistory,
    PresenceUpdate,
    Receipt,
    ReplyFrame,
    ServerFrame,
    Success,
)
from testclients.client import ChatClient
from testclients.errors import RequestFailed
from tests.e2e.town import Resident, chat_of

RESUME_SECONDS: Final = 15.0


class Place(NamedTuple):
    """A conversation as frames name it: by one of the two."""

    chat_id: str | None = None
    group_id: str | None = None

    @property
    def id(self) -> str:
        found = self.chat_id or self.group_id
        assert found is not None
        return found


class Posted(NamedTuple):
    """A message that was acked."""

    id: str
    seq: int


def chat(one: ChatClient | Resident, other: ChatClient | Resident) -> Place:
    return Place(chat_id=chat_of(one, other))


async def club(admin: ChatClient, *others: ChatClient, open: bool = False) -> Place:
    """A group that everybody has been told of."""
    made = await admin.create_group("club", [other.user for other in others], open=open)
    for other in others:
        await other.next_push(GroupCreated)
    return Place(group_id=made.group_id)


async def ask(client: ChatClient, request: requests.Request) -> Success:
    """The SUCCESS of a request."""
    reply = await client.request(request)
    assert isinstance(reply, Success)
    return reply


async def refusal(
    client: ChatClient, request: requests.Request, match: str | None = None
) -> ErrorCode:
    """The code of a request's ERROR, whose words fit `match`."""
    with pytest.raises(RequestFailed, match=match) as refused:
        await client.request(request)
    return refused.value.code


def posting(client: ChatClient, place: Place, content: str) -> requests.Request:
    """The request that posts in a conversation of the client's user."""
    if place.group_id is not None:
        return requests.GroupChat(group_id=place.group_id, content=content)
    assert place.chat_id is not None
    (to,) = (name for name in place.chat_id.split("-") if name != client.user)
    return requests.OneToOneChat(to=to, content=content)


async def post(client: ChatClient, place: Place, content: str) -> Posted:
    ack = await ask(client, posting(client, place, content))
    assert ack.id is not None and ack.seq is not None
    return Posted(ack.id, ack.seq)


async def edit(
    client: ChatClient, place: Place, id: str, content: str, version: int | None = None
) -> Success:
    return await ask(
        client,
        requests.EditMessage(**place._asdict(), id=id, content=content, version=version),
    )


async def delete(client: ChatClient, place: Place, id: str) -> Success:
    return await ask(client, requests.DeleteMessage(**place._asdict(), id=id))


async def react(
    client: ChatClient, place: Place, id: str, emoji: str, *, remove: bool = False
) -> Success:
    return await ask(client, requests.React(**place._asdict(), id=id, emoji=emoji, remove=remove))


async def ack(client: ChatClient, place: Place, seq: int) -> Success:
    return await ask(client, requests.Ack(**place._asdict(), seq=seq))


async def mark_read(client: ChatClient, place: Place, seq: int) -> Success:
    return await ask(client, requests.MarkRead(**place._asdict(), seq=seq))


async def typing(client: ChatClient, place: Place, is_typing: bool = True) -> None:
    await client.send(requests.Typing(**place._asdict(), is_typing=is_typing))


async def history(
    client: ChatClient,
    place: Place,
    *,
    before: int | None = None,
    after: int | None = None,
    limit: int = HISTORY_PAGE,
) -> OneToOneChatHistory | GroupChatHistory:
    """A page of the conversation."""
    request: requests.Request
    if place.group_id is not None:
        request = requests.GetGroupChatHistory(
            group_id=place.group_id, before=before, after=after, limit=limit
        )
    else:
        request = requests.GetOneToOneHistory(
            chat_id=place.chat_id, before=before, after=after, limit=limit
        )
    reply = await client.request(request)
    assert isinstance(reply, OneToOneChatHistory | GroupChatHistory)
    return reply


async def resume(
    client: ChatClient, positions: Mapping[str, int]
) -> tuple[list[ServerFrame], dict[str, ErrorCode]]:
    """RESUME: what came before its reply, and the errors of the reply. Presence and receipts, which
    come when they like, are left out."""
    await client.send(requests.Resume(ref="resume", positions=dict(positions)))
    frames: list[ServerFrame] = []
    while True:
        frame = await client.next_push(timeout=RESUME_SECONDS)
        if isinstance(frame, ReplyFrame):
            assert isinstance(frame, Success) and frame.ref == "resume", frame
            return frames, frame.errors or {}
        if not isinstance(frame, PresenceUpdate | Receipt):
            frames.append(frame)


def event_seq(frame: ServerFrame) -> int | None:
    """The number of an event; None for other frames. Receipts only name one."""
    if isinstance(frame, ReplyFrame | Receipt):
        return None
    return getattr(frame, "seq", None)


def is_in(frame: ServerFrame, place: Place) -> bool:
    return place.id in (getattr(frame, "chat_id", None), getattr(frame, "group_id", None))


def numbers(frames: Iterable[ServerFrame], place: Place) -> list[int]:
    """The numbers of the conversation's events, in the order of the frames."""
    found = [event_seq(frame) for frame in frames if is_in(frame, place)]
    return [seq for seq in found if seq is not None]


def names(id: str) -> Callable[[ServerFrame], bool]:
    """What `next_push` takes for the next frame about a message."""
    return lambda frame: getattr(frame, "id", None) == id


def replaced(request: requests.Request, **fields: Any) -> requests.Request:
    """The request with other fields."""
    return msgspec.structs.replace(request, **fields)
