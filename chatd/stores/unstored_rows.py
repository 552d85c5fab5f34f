"""Port UnstoredRows: rows of the ledger that the message store may not have yet, and who answers
for them.

A row carries the process that wrote it and its batch: the number of the call. Of each process is
known up to which batch, without a gap, everything is stored, and when it last gave a sign of life.
Every method may raise BackendError.
"""

from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from chatd.stores.message_store import Put


class Rest(NamedTuple):
    """What a silent process left."""

    writer: str
    stored: int
    last: int
    """Its last batch in the ledger."""
    is_over: bool
    """It has been silent for long, and nothing that it asked for is under way: there will be no
    other rows."""


class UnstoredRows(Protocol):
    async def record(self, writer: str, stored: int) -> None:
        """Everything of the process up to this batch is stored; and it is alive."""
        ...

    async def rows(
        self, writer: str, *, after: int, up_to: int | None, limit: int, since: int | None = None
    ) -> list[tuple[int, Put]]:
        """The batch and the event of each row with `after < batch <= up_to`, ascending: whole
        batches, until there are `limit` rows. With `since`, a mark, only what was committed since
        then, and perhaps some from before."""
        ...

    async def mark(self) -> int:
        """Stands for what was committed before this call."""
        ...

    async def under_way(self, sessions: Collection[int]) -> set[int]:
        """Those of this process's sessions that may still commit something."""
        ...

    def turn(self) -> AbstractAsyncContextManager[bool]:
        """The turn to put what others left; False when another process has it."""
        ...

    async def left_by_others(
        self, writer: str, *, silent_seconds: float, over_seconds: float
    ) -> list[Rest]:
        """What processes other than `writer` left that were silent for so long; `is_over` from
        `over_seconds` on."""
        ...

    async def take_over(self, writer: str, stored: int) -> None:
        """Everything of a process that is over is stored up to this batch, at most its last."""
        ...
