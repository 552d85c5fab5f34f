"""What a client that stays connected says of its connection."""

from enum import Enum, auto
from typing import NamedTuple

from testclients.errors import ClientError


class Phase(Enum):
    CONNECTING = auto()
    """Or it catches up with what was missed: nothing is sent yet."""
    ONLINE = auto()
    WAITING = auto()
    """For the next try, in `seconds`."""
    FAILED = auto()
    """It has given up, for the `cause`; nothing happens until it is told to try again."""
    CLOSED = auto()


class ConnectionState(NamedTuple):
    phase: Phase
    seconds: float = 0.0
    """While waiting: until the next try; told anew each second."""
    tries: int = 0
    """Failures since it was last online for a while."""
    cause: ClientError | None = None
    """What ended the last connection, or the last try."""
