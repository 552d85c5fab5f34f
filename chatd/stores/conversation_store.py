"""Port ConversationStore: who is in which conversation, and how far each user has got.

Memberships themselves change only through the Ledger, with the event that says so. Every method may
raise BackendError; what a write asked for may then have happened or not.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from chatd.events import Event
from protocol.model import HistoryVisibility, Role


class ConversationKind(StrEnum):
    DIRECT = "direct"
    GROUP = "group"


class Membership(NamedTuple):
    """A user's place in a conversation."""

    conversation_id: str
    kind: ConversationKind
    role: Role
    history: HistoryVisibility
    joined_seq: int
    """The event that made the user a member; 0 in a direct conversation."""
    delivered: int
    """Delivered cursor: everything up to it has reached the user."""
    read: int

    @property
    def floor(self) -> int:
        """The user may read events above this number."""
        return 0 if self.history is HistoryVisibility.ALL else max(self.joined_seq - 1, 0)


class Peer(NamedTuple):
    """The other user of a direct conversation, and how far that user has got."""

    username: str
    delivered: int
    read: int


class Summary(NamedTuple):
    """A conversation as a list of conversations shows it."""

    membership: Membership
    name: str | None
    peer: str | None
    """The other user of a direct conversation."""
    member_count: int
    head: int
    unread: int
    """Messages of others after the read cursor, counted up to one above the cap that
    the caller named."""
    last_message: Event | None
    """The newest message among the last 200 events."""


class ConversationStore(Protocol):
    async def memberships(self, username: str) -> list[Membership]:
        """Every conversation that the user is in."""
        ...

    async def membership(self, conversation_id: str, username: str) -> Membership | None:
        """The user's place in one conversation; None when it is not there or the
        user is not in it."""
        ...

    async def peer(self, conversation_id: str, username: str) -> Peer | None:
        """The other user of a direct conversation that the user is in; None when it is no
        such conversation."""
        ...

    async def open_direct(self, username: str, peer: str, at_ms: int) -> bool:
        """Make the direct conversation of two users if it is not there. False when there is
        no account `peer`."""
        ...

    async def advance_delivered(self, cursors: Mapping[tuple[str, str], int]) -> None:
        """Move delivered cursors, (conversation, user) to seq, forward; an earlier
        seq changes nothing."""
        ...

    async def summaries(self, username: str, *, limit: int, unread_cap: int) -> list[Summary]:
        """The user's conversations by time of the last event, newest first; at most `limit`."""
        ...

    async def sharing_a_group(self, username: str, others: Sequence[str]) -> set[str]:
        """Those of `others` who are in a group together with the user."""
        ...
