"""What the admins of a group do, and what its members may see of it."""

from typing import Final
from urllib.parse import urlsplit

import msgspec

from chatd import ids
from chatd.auth import Principal
from chatd.clock import Clock
from chatd.errors import ChatError, invalid_field, not_a_member
from chatd.events import AnyBody, EventKind, GroupUpdatedBody, MemberBody, RoleBody
from chatd.services.conversations import check_group_name
from chatd.services.journal import Journal
from chatd.services.overviews import Overview, Overviews
from chatd.services.refusals import refusal
from chatd.stores.conversation_store import (
    ConversationKind,
    ConversationStore,
    Member,
    Membership,
)
from chatd.stores.ledger import Entry, Outcome
from protocol import limits
from protocol.errors import ErrorCode
from protocol.model import Role

MEMBERS_PAGE: Final = 200


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be changed of a group; None leaves it as it is, "" removes a topic or
    an avatar."""

    name: str | None = None
    topic: str | None = None
    avatar_url: str | None = None


class Groups:
    def __init__(
        self, journal: Journal, store: ConversationStore, overviews: Overviews, clock: Clock
    ) -> None:
        self._journal = journal
        self._store = store
        self._overviews = overviews
        self._clock = clock
        self._nonces = ids.Nonces()

    async def overview(self, principal: Principal, conversation_id: str) -> Overview:
        """One of the caller's conversations.

        Raises:
            ChatError: NOT_A_MEMBER.
        """
        overview = await self._overviews.one(conversation_id, principal.username)
        if overview is None:
            raise not_a_member()
        return overview

    async def overviews(
        self, principal: Principal, *, limit: int, after: tuple[int, str] | None
    ) -> list[Overview]:
        """The caller's conversations, newest first, from the one with this time and id
        on; at most `limit`."""
        return await self._overviews.newest(principal.username, limit=limit, after=after)

    async def members(
        self, principal: Principal, conversation_id: str, *, after: str, limit: int
    ) -> list[Member]:
        """The members whose names come after `after`, by name; at most `limit`.

        Raises:
            ChatError: NOT_A_MEMBER.
        """
        await self._membership(principal, conversation_id)
        return await self._store.members(conversation_id, after=after, limit=limit)

    async def update(self, principal: Principal, group_id: str, change: Change) -> Outcome:
        """Rename a group, or change its topic or avatar.

        Raises:
            ChatError: INVALID_FIELD, NOT_A_MEMBER, FORBIDDEN.
        """
        _check(change)
        body = GroupUpdatedBody(name=change.name, topic=change.topic, avatar_url=change.avatar_url)
        return await self._append(EventKind.GROUP_UPDATED, principal, group_id, body)

    async def add(self, principal: Principal, group_id: str, username: str) -> Outcome:
        """Make a user a member.

        Raises:
            ChatError: NOT_A_MEMBER, FORBIDDEN, NO_SUCH_USER, BLOCKED, ALREADY_A_MEMBER, GROUP_FULL.
        """
        body = MemberBody(username)
        return await self._append(EventKind.MEMBER_JOINED, principal, group_id, body)

    async def remove(self, principal: Principal, group_id: str, username: str) -> Outcome:
        """End a user's membership, or one's own.

        Raises:
            ChatError: NOT_A_MEMBER, FORBIDDEN, LAST_ADMIN.
        """
        body = MemberBody(username)
        return await self._append(EventKind.MEMBER_LEFT, principal, group_id, body)

    async def change_role(
        self, principal: Principal, group_id: str, username: str, role: Role
    ) -> Outcome:
        """Give a member another role.

        Raises:
            ChatError: NOT_A_MEMBER, FORBIDDEN, LAST_ADMIN.
        """
        body = RoleBody(username, role)
        return await self._append(EventKind.ROLE_CHANGED, principal, group_id, body)

    async def _membership(self, principal: Principal, conversation_id: str) -> Membership:
        membership = await self._store.membership(conversation_id, principal.username)
        if membership is None:
            raise not_a_member()
        return membership

    async def _append(
        self, kind: EventKind, principal: Principal, group_id: str, body: AnyBody
    ) -> Outcome:
        membership = await self._membership(principal, group_id)
        if membership.kind is ConversationKind.DIRECT:
            raise ChatError(ErrorCode.FORBIDDEN, "a direct conversation is always of its two users")
        entry = Entry(
            group_id, kind, principal.username, body, self._nonces.new(), self._clock.now_ms()
        )
        outcome = await self._journal.append(entry)
        if outcome.code is not None:
            raise refusal(entry, outcome)
        return outcome


def _check(change: Change) -> None:
    if change.name is None and change.topic is None and change.avatar_url is None:
        raise invalid_field("name", "`name`, `topic` or `avatarUrl` is required")
    if change.name is not None:
        if len(change.name) > limits.GROUP_NAME_CHARS:
            raise invalid_field("name", f"at most {limits.GROUP_NAME_CHARS} characters")
        check_group_name(change.name)
    if change.topic and (len(change.topic) > limits.TOPIC_CHARS or not change.topic.isprintable()):
        raise invalid_field("topic", f"at most {limits.TOPIC_CHARS} characters, no line breaks")
    if change.avatar_url and not _is_picture_url(change.avatar_url):
        raise invalid_field(
            "avatarUrl", f"an http or https URL of at most {limits.AVATAR_URL_CHARS} characters"
        )


def _is_picture_url(text: str) -> bool:
    if len(text) > limits.AVATAR_URL_CHARS or not text.isprintable() or " " in text:
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
