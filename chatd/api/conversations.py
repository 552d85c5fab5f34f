"""Conversations, their members and roles: `/api/conversations`."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Router, delete, get, patch, post
from litestar.params import Parameter

from chatd.api.context import ApiContext
from chatd.api.principal import principal_of
from chatd.delivery.render import history_message
from chatd.errors import invalid_field
from chatd.services.groups import MEMBERS_PAGE, Change
from chatd.services.overviews import Overview
from chatd.stores.conversation_store import Summary
from protocol import limits
from protocol.model import HistoryMessage, Role


class Conversation(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A conversation as the caller sees it."""

    id: str
    type: str
    name: str | None
    topic: str | None
    avatar_url: str | None
    open: bool
    peer: str | None
    role: Role
    member_count: int
    last_seq: int
    delivered_seq: int
    read_seq: int
    unread: int | str
    last_message: HistoryMessage | None


class ConversationPage(msgspec.Struct, frozen=True, rename="camel"):
    conversations: list[Conversation]
    next: str | None
    """Ask for the next page with `cursor` this; null on the last one."""


class UpdateBody(msgspec.Struct, frozen=True, rename="camel"):
    """What is absent stays; "" removes a topic or an avatar."""

    name: str | None = None
    topic: str | None = None
    avatar_url: str | None = None


class MemberInfo(msgspec.Struct, frozen=True, rename="camel"):
    username: str
    role: Role
    delivered_seq: int
    read_seq: int


class MemberPage(msgspec.Struct, frozen=True, rename="camel"):
    members: list[MemberInfo]
    next: str | None
    """Ask for the next page with `after` this; null on the last one."""


class AddBody(msgspec.Struct, frozen=True):
    username: str


class RoleBody(msgspec.Struct, frozen=True):
    role: Role


class Done(msgspec.Struct, frozen=True):
    """The event that says so."""

    seq: int


ConversationLimit = Annotated[int, Parameter(ge=1, le=limits.INIT_DATA_CONVERSATIONS)]
MemberLimit = Annotated[int, Parameter(ge=1, le=MEMBERS_PAGE)]


@get("/")
async def list_conversations(
    request: Request[Any, Any, Any],
    context: ApiContext,
    cursor: str | None = None,
    limit: ConversationLimit = 50,
) -> ConversationPage:
    """The caller's conversations, by time of the last event, newest first. One that has
    a new event while pages are read moves to the first page."""
    found = await context.groups.overviews(
        principal_of(request), limit=limit + 1, after=None if cursor is None else _opened(cursor)
    )
    page = found[:limit]
    more = len(found) > limit
    return ConversationPage(
        [_conversation(overview) for overview in page], _cursor(page[-1].summary) if more else None
    )


@get("/{conversation_id:str}")
async def get_conversation(
    request: Request[Any, Any, Any], context: ApiContext, conversation_id: str
) -> Conversation:
    """One of the caller's conversations."""
    return _conversation(await context.groups.overview(principal_of(request), conversation_id))


@patch("/{conversation_id:str}")
async def update_conversation(
    request: Request[Any, Any, Any], context: ApiContext, conversation_id: str, data: UpdateBody
) -> Conversation:
    """Rename a group, or change its topic or avatar; for its admins."""
    principal = principal_of(request)
    change = Change(name=data.name, topic=data.topic, avatar_url=data.avatar_url)
    await context.groups.update(principal, conversation_id, change)
    return _conversation(await context.groups.overview(principal, conversation_id))


@get(["/{conversation_id:str}/members", "/{conversation_id:str}/receipts"])
async def list_members(
    request: Request[Any, Any, Any],
    context: ApiContext,
    conversation_id: str,
    after: str = "",
    limit: MemberLimit = MEMBERS_PAGE,
) -> MemberPage:
    """The members by name, with their roles and how far each has received and read."""
    members = await context.groups.members(
        principal_of(request), conversation_id, after=after, limit=limit + 1
    )
    page = members[:limit]
    return MemberPage([MemberInfo(*member) for member in page], _next(members, limit))


@post("/{conversation_id:str}/members", status_code=201)
async def add_member(
    request: Request[Any, Any, Any], context: ApiContext, conversation_id: str, data: AddBody
) -> Done:
    """Make a user a member of a group; for its admins."""
    outcome = await context.groups.add(principal_of(request), conversation_id, data.username)
    return Done(outcome.seq)


@delete("/{conversation_id:str}/members/{username:str}", status_code=204)
async def remove_member(
    request: Request[Any, Any, Any], context: ApiContext, conversation_id: str, username: str
) -> None:
    """Take a member out of a group, for its admins; or leave it oneself."""
    await context.groups.remove(principal_of(request), conversation_id, username)


@patch(
    [
        "/{conversation_id:str}/members/{username:str}",
        "/{conversation_id:str}/members/{username:str}/role",
    ]
)
async def change_role(
    request: Request[Any, Any, Any],
    context: ApiContext,
    conversation_id: str,
    username: str,
    data: RoleBody,
) -> Done:
    """Give a member of a group another role; for its admins."""
    outcome = await context.groups.change_role(
        principal_of(request), conversation_id, username, data.role
    )
    return Done(outcome.seq)


def router() -> Router:
    return Router(
        "/api/conversations",
        route_handlers=[
            list_conversations,
            get_conversation,
            update_conversation,
            list_members,
            add_member,
            remove_member,
            change_role,
        ],
        tags=["conversations"],
    )


def _cursor(summary: Summary) -> str:
    return f"{summary.at_ms}.{summary.membership.conversation_id}"


def _opened(cursor: str) -> tuple[int, str]:
    at_ms, dot, conversation_id = cursor.partition(".")
    if not dot or not at_ms.isdigit() or not at_ms.isascii() or len(at_ms) > 16:
        raise invalid_field("cursor", "not one that a page named as `next`")
    return int(at_ms), conversation_id


def _next(members: list[Any], limit: int) -> str | None:
    return str(members[limit - 1].username) if len(members) > limit else None


def _conversation(overview: Overview) -> Conversation:
    summary, membership = overview.summary, overview.membership
    message = overview.tail.last_message
    return Conversation(
        id=membership.conversation_id,
        type=membership.kind.value,
        name=summary.name,
        topic=summary.topic,
        avatar_url=summary.avatar_url,
        open=summary.is_open,
        peer=summary.peer,
        role=membership.role,
        member_count=summary.member_count,
        last_seq=summary.head,
        delivered_seq=membership.delivered,
        read_seq=membership.read,
        unread=overview.unread,
        last_message=None if message is None else history_message(message),
    )
