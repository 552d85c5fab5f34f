"""Port Ledger: the one place where an event gets its number.

Guarantees: number, key and body of an event are one commit; a conversation's numbers are dense from
1; what `append` has answered is durable and can be read; entries of one call and one conversation
are numbered in the order of the call. When `append` raises, each of its entries may or may not have
been stored: repeating an entry with the same key is safe.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from chatd.events import AnyBody, Event, EventKind, Message
from chatd.ids import Place
from protocol.errors import ErrorCode

LAST_MESSAGE_WITHIN: Final = 200
"""Events that are looked through for the newest message of a conversation."""
POSTS: Final = 1_000

Done = Callable[["Entry", "Outcome"], None]


class Entry(msgspec.Struct, gc=False):
    """An event that asks to be appended."""

    conversation_id: str
    kind: EventKind
    sender: str
    body: AnyBody
    nonce: int
    at_ms: int
    key: str | None = None
    """The sender's idempotency key; unique per conversation and sender for at least 24 hours."""
    mac: bytes = b""
    """Keyed hash of the plain body; tells an honest repeat from a reused key."""
    sealed: bytes = b""
    """The body as it is stored."""
    origin: object = None
    """What it came by: delivery gives it the ack and not the event. Nothing to the store."""
    target: Place | None = None
    """The message that a change is about."""
    version: int | None = None
    """Of an edit: the version that its maker has seen; another one is a conflict."""
    author: str | None = None
    """Of a change: who posted the message, where the store that numbers events may not have it
    any more. Set by the ledger itself."""
    done: Done | None = None
    """Called once on the loop with the outcome, before the event is handed to delivery."""


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What became of an entry: `code` is None when the event is stored, now or
    before (`duplicate`)."""

    code: ErrorCode | None = None
    detail: str = ""
    """For a refusal: whom or what it is about."""
    seq: int = 0
    nonce: int = 0
    at_ms: int = 0
    duplicate: bool = False
    version: int = 0
    """Of an edit: what it made of its message."""
    befriended: bool = False
    """With this message both users of a direct conversation have written, and became friends."""


class Page(NamedTuple):
    """Messages of a conversation as they were when `head` was its last number."""

    messages: list[Message]
    """Ascending."""
    has_more: bool
    """There are others in the range that was asked for."""
    head: int


class Wanted(NamedTuple):
    """A conversation of a user, and the moment for which its tail is wanted."""

    conversation_id: str
    head: int
    """The moment: nothing above it counts."""
    floor: int
    """The user may read events above it."""
    read: int
    """The user's read cursor."""
    unread_cap: int


class Tail(NamedTuple):
    """What a user's list of conversations shows of the messages of one."""

    unread: int
    """Messages of others after the read cursor that were not deleted, counted up to one above
    the cap."""
    last_message: Message | None
    """The newest message among the last `LAST_MESSAGE_WITHIN` events, with what has become of it
    by now."""


class Ledger(Protocol):
    def append(self, entries: Sequence[Entry]) -> asyncio.Future[list[Outcome]]:
        """Check, number and commit the entries; one outcome each, in their order. Under
        way when it returns.

        Inside the same commit: who may (membership, role, block, open group, group size, last
        admin), the repeat of a key, the change that an entry stands for (of membership, of a
        group, of a message, whose body a delete blanks), and for a first direct message the
        conversation. A change that was made before is answered as a duplicate.

        Raises:
            BackendError: the outcome of the whole call is unknown.
        """
        ...

    async def read(
        self,
        conversation_id: str,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int,
    ) -> list[Event]:
        """The events with `after < seq < before`, ascending, the lowest `limit` of them."""
        ...

    async def page(
        self, conversation_id: str, *, after: int, before: int | None, limit: int, newest: bool
    ) -> Page:
        """The messages with `after < seq < before`: the lowest `limit` of them, or the highest;
        with what became of them by `head`, all of one moment."""
        ...

    async def posts(self, conversation_id: str, *, after: int, up_to: int) -> list[tuple[int, str]]:
        """Number and sender of the messages with `after < seq <= up_to`, the newest
        `POSTS` of them."""
        ...

    async def tails(self, username: str, wanted: Sequence[Wanted]) -> list[Tail]:
        """What a user's list shows of the messages of these conversations, in their order.

        Only what is at or below the `head` of each counts: a message that was deleted by an event
        above it is counted. So a tail is of the moment of a Summary that was read before.
        """
        ...

    async def heads(self, conversation_ids: Sequence[str]) -> dict[str, int]:
        """The last number of each conversation; those without events are left out."""
        ...
