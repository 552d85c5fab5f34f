"""What a load process is told, and what it tells back: plain data, sent between processes."""

from array import array
from dataclasses import dataclass, field
from enum import Enum, auto

from bench.latency import Latencies
from bench.shapes import Shape


@dataclass(frozen=True)
class Dialect:
    """How a server's frames are read without decoding them; the patterns are of `re`, in bytes."""

    ack: bytes
    """The reply to a post that succeeded; its group 1 is the number of the message."""
    refusal: bytes
    """The reply to a request that failed; the match is shown to the user."""
    event: bytes = b""
    """A message of a conversation: its group 1 is the position, its group 2 the conversation."""
    resume: str = ""
    """The text by which a client says what it has, with `%(positions)s`, a JSON object."""
    resumed: bytes = b""
    """What the reply to that begins with: by then all that was missed has come."""


class Reading(Enum):
    """How a connection reads. All but TIMED count what comes and note no times."""

    TIMED = auto()
    """At once, and notes when what came."""
    AT_ONCE = auto()
    IN_ROUNDS = auto()
    """What has come by then, ten times a second: that costs a tenth of reading at once."""
    STALLS = auto()
    """At once until a run in which it stalls, and from then on nothing until it is woken."""


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
    reading: Reading = Reading.TIMED
    comeback: bytes = b""
    """The HTTP upgrade of a client that will say itself what it has; empty where there is none."""
    node: int = 0
    """To which of the server's processes it connects: a place in the addresses of its plan."""


@dataclass(frozen=True)
class Plan:
    """For one load process."""

    addresses: tuple[tuple[str, int], ...]
    """Of the server's processes; a seat says which is its own."""
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
    opens_a_second: float = 0.0
    """At most so many connections over all processes; 0: as fast as the server answers."""


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
    stalls: bool = False
    """Those who are to stall do it now."""


@dataclass(frozen=True)
class Ended:
    end_ns: int
    cpu_share: float
    """CPU that the load process used, as a share of one core."""
    is_stalled: bool
    """Messages or acks were still missing when patience ended."""
    failure: str


@dataclass(frozen=True)
class Finish:
    """Wake those who stall, let those who were closed come back, and wait until every seat has
    received so many messages since it opened. Not for those that are TIMED. Answered by
    Finished."""

    counts: dict[int, int]


@dataclass(frozen=True)
class Finished:
    end_ns: int
    came_back: int
    """Connections that were closed, and resumed over another."""
    is_stalled: bool
    """Messages were still missing when patience ended."""
    failure: str


@dataclass(frozen=True)
class Cut:
    """Cut the connections of all that are not TIMED. Answered by Positions."""


@dataclass(frozen=True)
class Positions:
    lowest: dict[str, int]
    """By conversation, the lowest position that any of the seats has got to."""


@dataclass(frozen=True)
class ComeBack:
    """All that were cut connect at once from `start_ns` on, and resume. Answered by CameBack."""

    start_ns: int


@dataclass(frozen=True)
class CameBack:
    end_ns: int
    """When the last had resumed."""
    latencies: Latencies
    """From the first attempt to connect to the reply to the resuming."""
    cpu_share: float
    failure: str


@dataclass(frozen=True)
class Collect:
    """Give an account of the messages from `first` on. Answered by Collected."""

    first: int


@dataclass(frozen=True)
class Collected:
    latencies: Latencies = field(default_factory=Latencies)
    """From the sending (closed loop) or from when it was due (open loop) to the receiving, of the
    seats that are TIMED."""
    acks: Latencies = field(default_factory=Latencies)
    sent: "array[int]" = field(default_factory=lambda: array("i"))
    """The numbers of the messages that were sent: after a stall not all."""
    received: dict[int, "array[int]"] = field(default_factory=dict)
    """Per seat the message numbers in the order of arrival."""


Command = Open | Run | Finish | Cut | ComeBack | Collect
Answer = Opened | Ended | Finished | Positions | CameBack | Collected
