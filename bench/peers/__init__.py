"""The servers that can be measured: one module per peer, one runner for all."""

from collections.abc import Mapping, Sequence
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
    def pids(self) -> list[int]:
        """Its own processes."""

    @property
    def services(self) -> Mapping[str, Sequence[int]]:
        """By name, the processes of the services that it stands on, without their children. Empty
        for those that are not known."""

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where each of its processes is connected to."""

    def counters(self) -> dict[str, int]:
        """What it counts itself, by name; empty if it does not.

        Raises:
            BenchError: it does not say.
        """

    def settle(self) -> None:
        """Wait until nothing that it acked has yet to be put anywhere.

        Raises:
            BenchError: that takes too long.
        """

    def check(self) -> None:
        """Raises BenchError: it has ended by itself."""

    def group_seats(self, members: int) -> list[Seat]:
        """Make a group; its members' connections, any of which may post to it."""

    def pair_seats(self, pairs: int) -> list[Seat]:
        """Make users; seat 2p posts to seat 2p + 1."""

    def idle_seats(self, count: int) -> list[Seat]:
        """Make users who only connect. Memory used for making them is given back."""
