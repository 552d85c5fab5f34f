"""What each device will do, drawn from a seed: nothing here depends on what the server answers, so
the same seed gives the same decisions, whatever the timing."""

import random
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final, NamedTuple


class Way(Enum):
    """How a device comes back."""

    RESUME = auto()
    """`?resume=1`, and RESUME at once."""
    RESUME_IN_TWO = auto()
    """The same with two RESUMEs, each of half of the conversations."""
    PLAIN = auto()
    """The server goes by the delivered cursor."""
    PLAIN_THEN_RESUME = auto()
    """The same, and sooner or later a RESUME for what it lacks."""


class End(Enum):
    """How a device goes."""

    CLOSE = auto()
    """The closing handshake of the WebSocket."""
    DISCONNECT = auto()
    """The frame, and the server closes."""
    ABORT = auto()
    """The TCP connection is reset."""


class Act(Enum):
    POST = auto()
    REPEAT = auto()
    """Of a post that was acked."""
    EDIT = auto()
    DELETE = auto()
    REACT = auto()
    ACK = auto()
    MARK_READ = auto()
    PAGE = auto()
    """Of a history."""
    INIT_DATA = auto()
    RESUME = auto()
    """Once more, in mid-connection."""
    LEAVE_OR_JOIN = auto()
    NAP = auto()
    """It reads nothing for a while."""
    FLOOD = auto()
    """Many large posts at once, more than who naps can be sent."""


class Step(NamedTuple):
    """One act. `place`, `pick` and `shade` are in [0, 1): which conversation, which message, and
    which variant of the act."""

    act: Act
    place: float
    pick: float
    shade: float
    size: int
    """Characters of a content."""
    pause: float
    """Seconds until the next."""


class Stay(NamedTuple):
    """One connection of a device, from coming to going."""

    way: Way
    waits: float
    """The part of the steps that come before the RESUME of PLAIN_THEN_RESUME; often none."""
    keeps: float | None
    """The part of its positions that it still has; None for all."""
    acks: bool
    """Without ACKs, pongs and clean closes say what was delivered."""
    steps: list[Step]
    end: End
    deaf: float
    """Seconds before an ABORT in which it reads nothing, so that what it was written is lost."""
    away: float
    """Seconds until it comes again."""
    node: float
    """In [0, 1): to which of the nodes it comes."""


_WAYS: Final = {
    Way.RESUME: 50,
    Way.RESUME_IN_TWO: 10,
    Way.PLAIN: 25,
    Way.PLAIN_THEN_RESUME: 15,
}
_ENDS: Final = {End.CLOSE: 35, End.DISCONNECT: 15, End.ABORT: 50}
_ACTS: Final = {
    Act.POST: 66.0,
    Act.REPEAT: 3.0,
    Act.EDIT: 6.0,
    Act.DELETE: 2.0,
    Act.REACT: 6.0,
    Act.ACK: 8.0,
    Act.MARK_READ: 4.0,
    Act.PAGE: 2.5,
    Act.INIT_DATA: 0.8,
    Act.RESUME: 0.7,
    Act.LEAVE_OR_JOIN: 1.0,
    Act.NAP: 0.2,
    Act.FLOOD: 0.02,
}
_FORGETFUL: Final = 0.05
_ACKS: Final = 0.5
_DEAF_SECONDS: Final = (0.0, 0.3)
_AWAY_SECONDS: Final = (0.0, 1.0)
_SMALL_CHARS: Final = (1, 60)
_LARGE: Final = 0.03
_LARGE_CHARS: Final = (4_000, 14_000)
_NEVER_REPEATED: Final = 0.1


def stays(seed: str, device: str, *, longest: int, pause: float) -> Iterator[Stay]:
    """Without an end; each of at most `longest` steps, `pause` seconds apart on average."""
    draw = random.Random(f"{seed}/{device}")
    # Apart, so that the rest is the same on however many nodes.
    nodes = random.Random(f"{seed}/{device}/nodes")
    while True:
        keeps = draw.random() if draw.random() < _FORGETFUL else None
        yield Stay(
            way=draw.choices([*_WAYS], [*_WAYS.values()])[0],
            waits=draw.random() ** 3,
            keeps=keeps,
            acks=draw.random() < _ACKS,
            steps=[_step(draw, pause) for _ in range(draw.randint(1, longest))],
            end=draw.choices([*_ENDS], [*_ENDS.values()])[0],
            deaf=draw.uniform(*_DEAF_SECONDS),
            away=draw.uniform(*_AWAY_SECONDS),
            node=nodes.random(),
        )


def _step(draw: random.Random, pause: float) -> Step:
    return Step(
        act=draw.choices([*_ACTS], [*_ACTS.values()])[0],
        place=draw.random(),
        pick=draw.random(),
        shade=draw.random(),
        size=draw.randint(*(_LARGE_CHARS if draw.random() < _LARGE else _SMALL_CHARS)),
        pause=draw.uniform(0, 2 * pause),
    )


def is_given_up(seed: str, key: str) -> bool:
    """Whether a post with this clientMsgId is never sent again when its ack does not come."""
    return random.Random(f"{seed}/{key}").random() < _NEVER_REPEATED
