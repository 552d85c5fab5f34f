"""Who is there in a round: users, their devices and their conversations, from a seed."""

import random
from typing import Final, NamedTuple

from protocol.model import HistoryVisibility

LEAST_USERS: Final = 4
_SECOND_DEVICE_EVERY: Final = 3
_NARROW_EVERY: Final = 4
_SMALL_GROUPS: Final = 3
_SMALL_GROUP_USERS: Final = (3, 5)


class Options(NamedTuple):
    """How a round is played."""

    users: int = 12
    pause: float = 0.05
    """Seconds between two acts of a device, on average."""
    longest_stay: int = 120
    """Acts of a connection, at most."""
    kill_after: tuple[float, float] = (1.0, 6.0)
    """Seconds from a start of the server to its end, drawn between the two."""
    lost_after: tuple[float, float] = (3.0, 8.0)
    """Seconds until a service is lost, on real backends."""
    lost_for: tuple[float, float] = (0.3, 4.0)
    """Seconds that it is lost for."""
    patience: float = 15.0
    """Seconds that an answer may take."""
    rest: float = 15.0
    """Seconds that everything owed may take when nobody has anything under way."""


class GroupPlan(NamedTuple):
    name: str
    members: list[str]
    """The first makes it."""
    history: HistoryVisibility = HistoryVisibility.JOINED
    is_open: bool = False
    """Its members, but for the first, leave it and join again."""


class Plan(NamedTuple):
    seed: str
    users: list[str]
    devices: list[tuple[str, str]]
    """User, and name of the device."""
    narrow: set[str]
    """Devices whose sockets take little at once."""
    groups: list[GroupPlan]
    """The first is of everybody, and the busiest."""
    directs: list[tuple[str, str]]
    opened: list[tuple[str, str]]
    """Those of `directs` that are made beforehand; the others begin with their first message."""


def make_plan(seed: str, users: int, prefix: str) -> Plan:
    """`prefix` begins the users' names, so that a server can see many rounds."""
    draw = random.Random(seed)
    names = [f"{prefix}{number:02}" for number in range(max(users, LEAST_USERS))]
    devices = [(name, f"{name}/1") for name in names]
    devices += [(name, f"{name}/2") for name in names[::_SECOND_DEVICE_EVERY]]
    groups = [GroupPlan("everybody", names)]
    groups.append(GroupPlan("open", names, is_open=True))
    for number in range(_SMALL_GROUPS):
        members = draw.sample(names, min(len(names), draw.randint(*_SMALL_GROUP_USERS)))
        history = HistoryVisibility.ALL if number == 0 else HistoryVisibility.JOINED
        groups.append(GroupPlan(f"group {number}", members, history))
    directs = [(name, names[(number + 1) % len(names)]) for number, name in enumerate(names)]
    narrow = {device for _, device in devices[1::_NARROW_EVERY]}
    return Plan(seed, names, devices, narrow, groups, directs, directs[::2])


def direct_id(one: str, other: str) -> str:
    """The id of a direct conversation, as the protocol's docs say it is made."""
    return "-".join(sorted((one, other), key=str.encode))
