"""Port RecentEvents: the newest part of every conversation, and what became of messages of any age.

It is exact: what was committed before a call is in the answer, each answer is of one moment, and
an answer says which numbers it lacks. Those live in the message store alone. Every method may
raise BackendError.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from chatd.events import Event, Message
from chatd.stores.ledger import Page, Wanted

NO_END: Final = 2**62
"""Above every number."""


class Fate(NamedTuple):
    """What became of a message."""

    version: int = 1
    edited_seq: int | None = None
    """The last edit."""
    edit: Event | None = None
    """The same, when it is here."""
    is_deleted: bool = False
    reactions: Sequence[tuple[str, str]] = ()
    """Emoji and user, in the order in which they came."""


class Fated(NamedTuple):
    posted: Event
    fate: Fate

    def message(self) -> Message:
        fate = self.fate
        return Message(self.posted, fate.version, fate.edit, fate.is_deleted, list(fate.reactions))


class RecentRange(NamedTuple):
    events: list[Event]
    """Ascending. Every number up to the head exists: those that are missing are lacking."""
    head: int


class RecentPage(NamedTuple):
    messages: list[Fated]
    """Ascending."""
    head: int
    lacks: int
    """The highest number that is not here and may belong to the answer; 0 when there is none."""
    fates: list[Fate]
    """Of the messages that were asked for by their numbers, in their order."""


class RecentPosts(NamedTuple):
    posts: list[tuple[int, str]]
    """Number and sender, descending."""
    lacks: int


class RecentTail(NamedTuple):
    unread: int
    unread_lacks: int
    last: Fated | None
    last_lacks: int


def page_of(messages: list[Message], head: int, *, limit: int, newest: bool) -> Page:
    """A page of `limit` of these messages, of which there are more when there is one more."""
    kept = (messages[-limit:] if newest else messages[:limit]) if limit else []
    return Page(kept, len(messages) > limit, head)


class RecentEvents(Protocol):
    async def read(
        self, conversation_id: str, *, after: int, before: int, limit: int
    ) -> RecentRange:
        """The events with `after < seq < before`, the lowest `limit` of them."""
        ...

    async def page(
        self,
        conversation_id: str,
        *,
        after: int,
        before: int,
        limit: int,
        newest: bool,
        fates_of: Sequence[int] = (),
    ) -> RecentPage:
        """The messages with `after < seq < before`, the lowest `limit` of them or the highest; and
        of the same moment the fates of some others."""
        ...

    async def posts(
        self, conversation_id: str, *, after: int, up_to: int, limit: int
    ) -> RecentPosts:
        """The messages with `after < seq <= up_to`, deleted or not, the highest `limit` of them."""
        ...

    async def tails(self, username: str, wanted: Sequence[Wanted]) -> list[RecentTail]:
        """As `Ledger.tails`, of what is here."""
        ...

    async def fates(self, places: Sequence[tuple[str, int]]) -> list[Fate]:
        """What became of the messages at these places (conversation, number), of any age."""
        ...

    async def deleted(
        self, conversation_id: str, *, after: int, before: int, also: Sequence[int] = ()
    ) -> dict[int, int]:
        """The deleted messages with `after < seq < before`, of any age, and those of `also`;
        with the events that deleted them."""
        ...

    async def whereabouts(self, places: Sequence[tuple[str, int]]) -> list[int | None]:
        """When the event at each place (conversation, number) was made, in milliseconds; None for
        one that is not here any more, 0 for one that is not there yet."""
        ...
