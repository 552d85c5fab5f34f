"""Who sends what to whom, and when: the manners of load."""

from dataclasses import dataclass
from typing import Protocol


class Shape(Protocol):
    """Who sends what to whom. Message `n + lanes` follows when message `n` has arrived."""

    @property
    def lanes(self) -> int: ...

    @property
    def spans_processes(self) -> bool:
        """Whether a message has recipients in every load process, or only where its sender is."""

    def sender(self, number: int) -> int:
        """The seat that sends a message."""

    def process_of(self, seat: int, processes: int) -> int:
        """The load process that has a seat."""

    def recipients_among(self, seats: set[int], number: int) -> int:
        """How many of these seats get a message."""


@dataclass(frozen=True)
class GroupShape:
    """Seat 0 only reads, the others send in turn."""

    members: int
    lanes: int
    has_echo: bool
    """Whether the sender's connection gets the message too, besides the ack."""
    spans_processes: bool = True

    def sender(self, number: int) -> int:
        return 1 + number % (self.members - 1)

    def process_of(self, seat: int, processes: int) -> int:
        return seat % processes

    def recipients_among(self, seats: set[int], number: int) -> int:
        return len(seats) - (not self.has_echo and self.sender(number) in seats)


@dataclass(frozen=True)
class PairsShape:
    """Seat 2p sends to seat 2p + 1; each pair has one message in flight."""

    lanes: int
    spans_processes: bool = False

    def sender(self, number: int) -> int:
        return 2 * (number % self.lanes)

    def process_of(self, seat: int, processes: int) -> int:
        return seat // 2 % processes

    def recipients_among(self, seats: set[int], number: int) -> int:
        return int(self.recipient(number) in seats)

    def recipient(self, number: int) -> int:
        return self.sender(number) + 1


@dataclass(frozen=True)
class MixedShape:
    """Conversations of two and of a few, which take turns. The first seats are pairs, whose two
    write in turn; then come groups, in each of which the first member only reads and the others
    write in turn. Further seats only listen."""

    pairs: int
    groups: int
    group_members: int
    spans_processes: bool = False

    @property
    def lanes(self) -> int:
        """One message in flight for each conversation."""
        return self.pairs + self.groups

    @property
    def talking(self) -> int:
        """How many seats are in a conversation."""
        return 2 * self.pairs + self.groups * self.group_members

    def members(self, conversation: int) -> range:
        """The seats of a conversation; the pairs are numbered first."""
        if conversation < self.pairs:
            return range(2 * conversation, 2 * conversation + 2)
        first = 2 * self.pairs + (conversation - self.pairs) * self.group_members
        return range(first, first + self.group_members)

    def conversation_of(self, seat: int) -> int | None:
        if seat < 2 * self.pairs:
            return seat // 2
        if seat < self.talking:
            return self.pairs + (seat - 2 * self.pairs) // self.group_members
        return None

    def sender(self, number: int) -> int:
        turn, conversation = divmod(number, self.lanes)
        members = self.members(conversation)
        if conversation < self.pairs:
            return members[turn % 2]
        return members[1 + turn % (self.group_members - 1)]

    def process_of(self, seat: int, processes: int) -> int:
        conversation = self.conversation_of(seat)
        return (seat if conversation is None else conversation) % processes

    def recipients_among(self, seats: set[int], number: int) -> int:
        members = self.members(number % self.lanes)
        return len(members) - 1 if members[0] in seats else 0


@dataclass(frozen=True)
class PosterShape:
    """Seat 0 sends everything. Only with those who are watched is it waited for arrivals."""

    watched: frozenset[int]
    lanes: int = 1
    spans_processes: bool = True

    def sender(self, number: int) -> int:
        return 0

    def process_of(self, seat: int, processes: int) -> int:
        return seat % processes

    def recipients_among(self, seats: set[int], number: int) -> int:
        return len(self.watched & seats)
