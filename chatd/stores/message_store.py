"""Port MessageStore: where events live for good.

It is filled from the ledger after the commit. Every write carries the number of the event that
causes it, and the store keeps what the highest number wrote, so any put may be repeated, come late
or out of order, by any process. A delete wins over everything.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from chatd.events import Event, Message


class Put(msgspec.Struct, frozen=True, gc=False):
    """A committed event on its way to the store."""

    event: Event
    target: int | None = None
    """The number of the message that an edit, a delete or a reaction is about."""
    emoji: str | None = None
    """Of a reaction."""
    remove: bool = False
    """The reaction is taken back."""


class MessageStore(Protocol):
    async def put(self, puts: Sequence[Put]) -> None:
        """Store events, and what they make of their messages: the last edit, the reactions, and for
        a delete the message and its edits without what they said. All of them are stored when
        it returns.

        Raises:
            BackendError: some may be stored; put all of them again.
        """
        ...

    async def read(
        self, conversation_id: str, *, after: int, before: int, limit: int
    ) -> list[Event]:
        """The stored events with `after < seq < before`, ascending, the lowest `limit` of them.
        What was not put yet is missing, wherever it is."""
        ...

    async def messages(
        self, conversation_id: str, *, after: int, before: int, limit: int, newest: bool
    ) -> list[Message]:
        """The stored messages with `after < seq < before`, ascending, the lowest `limit` of them or
        the highest, with what was put of their changes."""
        ...

    async def posts(
        self, conversation_id: str, *, after: int, before: int, limit: int
    ) -> list[tuple[int, str]]:
        """Number and sender of the messages with `after < seq < before` that were not deleted,
        descending, the highest `limit` of them."""
        ...
