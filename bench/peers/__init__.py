"""The servers that can be measured: one module per peer, one runner for all."""

from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from bench.plan import Dialect, Seat


class Peer(Protocol):
    """A running server, from entering its context to leaving it."""

    name: str
    description: str
    """What its figures stand for: durability and the like."""
    dialect: Dialect
    has_echo: bool
    """Whether a sender in a group receives its own message, besides the ack."""

    def __init__(self, folder: Path, core: int | None) -> None:
        """
        Args:
            folder: an empty one of its own, removed after the run.
            core: where it is to run; None for anywhere.
        """

    def __enter__(self) -> Self:
        """Start, and wait until connections are accepted.

        Raises:
            BenchError: it cannot be run on this machine, or does not start.
        """

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None: ...

    @property
    def pids(self) -> list[int]: ...

    @property
    def address(self) -> tuple[str, int]: ...

    def check(self) -> None:
        """Raises BenchError: it has ended by itself."""

    def group_seats(self, members: int) -> list[Seat]:
        """Make a group; its members' connections, any of which may post to it."""

    def pair_seats(self, pairs: int) -> list[Seat]:
        """Make users; seat 2p posts to seat 2p + 1."""

    def idle_seats(self, count: int) -> list[Seat]:
        """Make users who only connect. Memory used for making them is given back."""
