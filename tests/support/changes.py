"""Entries that change what is there: messages, roles, names and members of groups."""

from collections.abc import Sequence

from chatd import ids
from chatd.delivery.outbox import Outbox
from chatd.events import (
    AnyBody,
    DeleteBody,
    EditBody,
    EventKind,
    GroupUpdatedBody,
    MemberBody,
    ReactionBody,
    RoleBody,
)
from chatd.ids import Place
from chatd.stores.ledger import Done, Entry, Outcome
from protocol.errors import ErrorCode
from protocol.model import Role
from tests.support.builders import NOW_MS, entry


def place(posted: Entry, seq: int) -> Place:
    """Where a message is, or will be when its entry gets this number."""
    return Place(posted.conversation_id, seq, posted.nonce)


def edit(
    at: Place,
    sender: str,
    content: str = "edited",
    *,
    version: int | None = None,
    at_ms: int = NOW_MS,
    origin: Outbox | None = None,
    done: Done | None = None,
) -> Entry:
    body = EditBody(id=ids.message_id(*at), is_direct=_is_direct(at), content=content)
    made = _change(EventKind.MESSAGE_EDITED, at, sender, body, at_ms, origin, done)
    made.version = version
    return made


def delete(
    at: Place,
    sender: str,
    *,
    at_ms: int = NOW_MS,
    origin: Outbox | None = None,
    done: Done | None = None,
) -> Entry:
    body = DeleteBody(id=ids.message_id(*at), is_direct=_is_direct(at))
    return _change(EventKind.MESSAGE_DELETED, at, sender, body, at_ms, origin, done)


def react(
    at: Place,
    sender: str,
    emoji: str = "👍",
    *,
    remove: bool = False,
    at_ms: int = NOW_MS,
    origin: Outbox | None = None,
    done: Done | None = None,
) -> Entry:
    body = ReactionBody(
        id=ids.message_id(*at), is_direct=_is_direct(at), emoji=emoji, remove=remove
    )
    return _change(EventKind.REACTION, at, sender, body, at_ms, origin, done)


def change_role(group_id: str, by: str, username: str, role: Role) -> Entry:
    return entry(group_id, EventKind.ROLE_CHANGED, by, RoleBody(username, role))


def update(
    group_id: str,
    by: str,
    *,
    name: str | None = None,
    topic: str | None = None,
    avatar_url: str | None = None,
) -> Entry:
    body = GroupUpdatedBody(name=name, topic=topic, avatar_url=avatar_url)
    return entry(group_id, EventKind.GROUP_UPDATED, by, body)


def add(group_id: str, by: str, username: str) -> Entry:
    """A member puts somebody else into its group."""
    return entry(group_id, EventKind.MEMBER_JOINED, by, MemberBody(username))


def remove(group_id: str, by: str, username: str) -> Entry:
    return entry(group_id, EventKind.MEMBER_LEFT, by, MemberBody(username))


def codes(outcomes: Sequence[Outcome]) -> list[ErrorCode | None]:
    return [outcome.code for outcome in outcomes]


def seqs(outcomes: Sequence[Outcome]) -> list[int]:
    return [outcome.seq for outcome in outcomes]


def _change(
    kind: EventKind,
    at: Place,
    sender: str,
    body: AnyBody,
    at_ms: int,
    origin: Outbox | None,
    done: Done | None,
) -> Entry:
    made = entry(at.conversation_id, kind, sender, body, at_ms=at_ms, origin=origin, done=done)
    made.target = at
    return made


def _is_direct(at: Place) -> bool:
    """Ids of groups have no hyphen."""
    return "-" in at.conversation_id
