"""Port ConversationStore: who is in which conversation, and how far each user has got.

Memberships themselves change only through the Ledger, with the event that says so. Every method may
raise BackendError; what a write asked for may then have happened or not.
"""

from collections.abc import Collection, Sequence
from enum import Enum, StrEnum, auto
from typing import NamedTuple, Protocol

from protocol.errors import ErrorCode
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
    head: int = 0
    """The conversation's last number, where one membership was asked for."""

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
    """A conversation as a list of conversations shows it, but for its messages: `Ledger.tails`."""

    membership: Membership
    name: str | None
    peer: str | None
    """The other user of a direct conversation."""
    member_count: int
    head: int
    topic: str | None
    avatar_url: str | None
    is_open: bool
    at_ms: int
    """Time of the last event."""


class Member(NamedTuple):
    """A member as the others see it."""

    username: str
    role: Role
    delivered: int
    read: int


class Cursor(Enum):
    DELIVERED = auto()
    READ = auto()
    """Moves the delivered cursor too."""


class Move(NamedTuple):
    """A cursor that asks to be moved forward to `seq`."""

    conversation_id: str
    username: str
    cursor: Cursor
    seq: int
    kind: ConversationKind | None = None
    """What the conversation must be, when that is known: otherwise the answer is NOT_A_MEMBER."""


class Moved(NamedTuple):
    """What became of a move."""

    code: ErrorCode | None = None
    """NOT_A_MEMBER, or INVALID_FIELD above the head; None when the cursor is at `seq` or beyond."""
    head: int = 0
    kind: ConversationKind | None = None
    came_from: int | None = None
    """Where the cursor was, when it was behind."""
    peer: str | None = None
    """Of a direct conversation whose cursor moved: the other user, unless one blocked the other."""
    member_count: int = 0


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

    async def advance(self, moves: Sequence[Move]) -> list[Moved]:
        """Move cursors, never back; one result each, in their order."""
        ...

    async def summaries(
        self, username: str, *, limit: int, after: tuple[int, str] | None = None
    ) -> list[Summary]:
        """The user's conversations by time of the last event, newest first, then by id; at most
        `limit`, those that come after the one with this time and id."""
        ...

    async def summary(self, conversation_id: str, username: str) -> Summary | None:
        """One of the user's conversations; None when it is not there or the user is
        not in it."""
        ...

    async def members(self, conversation_id: str, *, after: str, limit: int) -> list[Member]:
        """The members whose names come after `after`, by name."""
        ...

    async def members_among(self, conversation_id: str, usernames: Collection[str]) -> set[str]:
        """Those of the users who are members."""
        ...

    async def may_signal(self, conversation_id: str, username: str) -> ConversationKind | ErrorCode:
        """Whether the user may be heard in the conversation: its kind, or NOT_A_MEMBER or
        BLOCKED."""
        ...

    async def behind(
        self, conversation_id: str, up_to: int, *, after: str, limit: int
    ) -> list[tuple[str, int]]:
        """Members, by name from `after` on, whose delivered cursor is below `up_to`, and the
        cursors."""
        ...

    async def add_to_mailboxes(
        self, conversation_id: str, usernames: Collection[str], first: int, last: int
    ) -> None:
        """Note that these members were away when the events `first` to `last` came. A range
        grows; may be repeated."""
        ...

    async def mailbox(self, username: str) -> dict[str, tuple[int, int]]:
        """What came while the user was away, by conversation: the first and last event above
        its delivered cursor."""
        ...

    async def sharing_a_group(self, username: str, others: Sequence[str]) -> set[str]:
        """Those of `others` who are in a group together with the user, without those of whom one
        has blocked the other."""
        ...

    async def group_ids(self, after: str, limit: int) -> list[str]:
        """The ids of all groups that come after `after`, in byte order; at most `limit`."""
        ...
