"""Port SweepStore: what the sweep for lost jobs asks of the stores.

Every method may raise BackendError.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Lacking(NamedTuple):
    """Events of a conversation that a member neither got nor has a mailbox for."""

    conversation_id: str
    first: int
    last: int


class LackingPage(NamedTuple):
    found: Sequence[Lacking]
    after: str | None
    """Where to go on; None at the end."""


class SweepStore(Protocol):
    async def lacking(self, since_ms: int, until_ms: int, *, after: str, limit: int) -> LackingPage:
        """Of the `limit` conversations whose ids come after `after`: those whose last event is
        of the time `since_ms <= at < until_ms`, with a member who has neither got it nor a mailbox
        that says so. A range covers all of its members who lack something."""
        ...

    async def swept_until(self) -> int:
        """As it was set; 0 when it never was."""
        ...

    async def set_swept_until(self, at_ms: int) -> None:
        """Durable when it returns."""
        ...
