"""What a load process is told, and what it tells back: plain data, sent between processes."""

from array import array
from dataclasses import dataclass, field
from typing import Protocol

from bench.latency import Latencies


@dataclass(frozen=True)
class Dialect:
    """How a server's frames are read without decoding them; the patterns are of `re`, in bytes."""

    ack: bytes
    """The reply to a post that succeeded; its group 1 is the number of the message."""
    refusal: bytes
    """The reply to a request that failed; the match is shown to the user."""


@dataclass(frozen=True)
class Step:
    """One exchange after the upgrade. `send` may be empty: then the server speaks first."""

    send: str
    expect: bytes


@dataclass(frozen=True)
class Seat:
    """One connection that is to be opened, and what may be posted on it."""

    number: int
    user: str
    request: bytes
    """The HTTP upgrade."""
    steps: tuple[Step, ...]
    post: str = ""
    """The text of a post, with `%(content)s` and `%(number)d`."""


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
class Plan:
    """For one load process."""

    address: tuple[str, int]
    dialect: Dialect
    seats: tuple[Seat, ...]
    """Those of this process."""
    shape: Shape | None
    """None for connections that stay idle."""
    messages: int
    """Numbers of messages are below this, those of the warm-up included."""
    rate: float
    """Messages a second over all processes, whatever the server does; 0 for the closed loop."""
    size: int
    """Bytes of content."""
    base_ns: int
    """When the clock of the marks begins, in nanoseconds of CLOCK_MONOTONIC."""
    patience_seconds: float
    """How long nothing may arrive before what is missing is given up as lost."""
    process: int
    processes: int
    core: int | None


@dataclass(frozen=True)
class Open:
    """Open the seats whose numbers are in [first, end). Answered by Opened."""

    first: int
    end: int


@dataclass(frozen=True)
class Opened:
    failure: str
    """What went wrong first; empty if all are open."""


@dataclass(frozen=True)
class Run:
    """Send the messages [first, end) from `start_ns` on. Answered by Ended."""

    first: int
    end: int
    start_ns: int


@dataclass(frozen=True)
class Ended:
    end_ns: int
    cpu_share: float
    """CPU that the load process used, as a share of one core."""
    is_stalled: bool
    """Messages or acks were still missing when patience ended."""
    failure: str


@dataclass(frozen=True)
class Collect:
    """Give an account of the messages from `first` on. Answered by Collected."""

    first: int


@dataclass(frozen=True)
class Collected:
    latencies: Latencies = field(default_factory=Latencies)
    """From the sending (closed loop) or from when it was due (open loop) to the receiving."""
    acks: Latencies = field(default_factory=Latencies)
    sent: "array[int]" = field(default_factory=lambda: array("i"))
    """The numbers of the messages that were sent: after a stall not all."""
    received: dict[int, "array[int]"] = field(default_factory=dict)
    """Per seat the message numbers in the order of arrival."""


Command = Open | Run | Collect
Answer = Opened | Ended | Collected
