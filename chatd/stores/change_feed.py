"""Port ChangeFeed: what every node must hear within a second or two, also when the bus lost it.

The bus tells first; this is read once a second, and is the truth. Only where nodes share a store:
a process that is alone has heard everything itself.
"""

from typing import NamedTuple, Protocol


class Happened(NamedTuple):
    """An event that no node may miss for long: who is in a conversation changed with it (made,
    joined, left, or the first message of a direct one), or a message was deleted."""

    conversation_id: str
    seq: int


class Revoked(NamedTuple):
    """Tokens of a user ended."""

    username: str
    device_id: str | None
    """None for all of the user's devices."""
    besides: str | None
    """A device that stays."""


class Parted(NamedTuple):
    """One of two users has blocked the other."""

    one: str
    other: str


Change = Happened | Revoked | Parted


class ChangeFeed(Protocol):
    async def since(self, mark: int | None) -> tuple[int, list[Change]]:
        """What was committed since the call that gave `mark`, and the mark for the next call. Some
        may be told twice, none is left out. With None nothing but the mark of now.

        Raises:
            BackendError: the store failed; ask again with the same mark.
        """
        ...
