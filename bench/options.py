"""The command line, checked before anything is started."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from bench import command_line
from bench.errors import BenchError
from bench.markers import MAX_NUMBER
from protocol.limits import GROUP_MEMBERS

_WARM_UP_SHARE: Final = 0.1
_LEAST_WARM_UP: Final = 500


class On(StrEnum):
    """What chatd stands on."""

    EMBEDDED = "embedded"
    BACKENDS = "backends"


@dataclass(frozen=True)
class Options:
    command: str
    on: On
    members: int
    in_flight: int
    pairs: int
    connections: int
    stalled_percent: int
    """Of the members, how many read nothing."""
    seconds: float
    """How long messages are sent, where that is not said by their number."""
    clients: int
    missed: int
    """Messages of every group that clients miss before they come back."""
    messages: int
    warm_up: int
    """Messages before the measured ones."""
    rate: float
    """0 for the closed loop."""
    size: int
    hold_seconds: float
    patience_seconds: float
    beside: str | None
    repeat: int
    json: Path | None
    folder: Path | None
    """Where data folders are made; None for the system's temporary folder."""
    server_core: int | None
    client_cores: tuple[int | None, ...]
    """One load process for each."""
    busy_percent: int
    """Of the connections of a soak, how many are in a conversation."""
    opens_a_second: float
    """Connections, at most; 0: as fast as the server answers."""
    is_held_to_bounds: bool
    """Whether a figure beyond its bound makes the run fail."""
    moves_services: bool
    """Whether the services that chatd stands on are kept off its core."""
    notes: tuple[str, ...]
    """What the user should know about the choices that were made."""


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Ends the program with a line on stderr and code 2 if the arguments are wrong.

    Raises:
        BenchError: the cores do not exist, or the numbers do not go together.
    """
    given = command_line.parser().parse_args(arguments)
    if given.command == "nodes" and given.on == On.EMBEDDED:
        raise BenchError("several nodes take --on backends")
    scale: float = getattr(given, "scale", 1.0)
    rate = getattr(given, "rate", 0.0) * scale
    members = round(getattr(given, "members", command_line.MEMBERS) * scale)
    if not command_line.LEAST_MEMBERS <= members <= GROUP_MEMBERS:
        raise BenchError(f"a group has 2 to {GROUP_MEMBERS:,} members, not {members:,}")
    seconds: float = getattr(given, "seconds", command_line.SECONDS)
    messages: int = getattr(given, "messages", command_line.MESSAGES)
    if given.command in ("stalled", "soak"):
        messages = max(round(rate * seconds), 1)
    warm_up = given.warm_up
    if warm_up is None:
        warm_up = max(int(messages * _WARM_UP_SHARE), _LEAST_WARM_UP)
    if messages + warm_up > MAX_NUMBER:
        raise BenchError(f"at most {MAX_NUMBER:,} messages, the warm-up included")
    server_core, client_cores, notes = choose_cores(
        sorted(os.sched_getaffinity(0)), given.server_core, given.client_core
    )
    folder: Path | None = given.dir
    if folder is not None and not folder.is_dir():
        raise BenchError(f"{folder} is not a folder")
    if given.json is not None and not given.json.absolute().parent.is_dir():
        raise BenchError(f"{given.json}: there is no such folder")
    return Options(
        command=given.command,
        on=On(given.on),
        members=members,
        in_flight=getattr(given, "in_flight", command_line.IN_FLIGHT),
        pairs=getattr(given, "pairs", command_line.PAIRS),
        connections=getattr(given, "connections", command_line.CONNECTIONS),
        stalled_percent=getattr(given, "stalled", command_line.STALLED_PERCENT),
        seconds=seconds,
        clients=getattr(given, "clients", command_line.CLIENTS),
        missed=getattr(given, "missed", command_line.MISSED),
        messages=messages,
        warm_up=warm_up,
        rate=rate,
        size=given.size,
        hold_seconds=getattr(given, "hold", command_line.HOLD_SECONDS),
        patience_seconds=given.patience,
        beside=getattr(given, "beside", None),
        repeat=given.repeat,
        json=given.json,
        folder=folder,
        server_core=server_core,
        client_cores=client_cores,
        busy_percent=getattr(given, "busy", command_line.BUSY_PERCENT),
        opens_a_second=getattr(given, "connect_rate", 0.0),
        is_held_to_bounds=given.bounds or given.command in ("all", "reconnect"),
        moves_services=not given.leave_services,
        notes=notes,
    )


def choose_cores(
    allowed: Sequence[int], server: int | None, client: Sequence[int] | None
) -> tuple[int | None, tuple[int | None, ...], tuple[str, ...]]:
    """The server's core, the cores of the load processes, and notes.

    Raises:
        BenchError: a core that was asked for is not there, or asked for twice.
    """
    if len(allowed) < 2:
        note = "one core: server and load share it, nothing is pinned"
        return None, (None,) * len(client or [0]), (note,)
    for core in [server, *(client or [])]:
        if core is not None and core not in allowed:
            raise BenchError(f"there is no core {core} here: choose from {_listed(allowed)}")
    if server is None:
        server = next(core for core in allowed if core not in (client or [])[: len(allowed) - 1])
    if client is None:
        client = [next(core for core in allowed if core != server)]
    if len({server, *client}) != 1 + len(client):
        raise BenchError("the server and every load process need a core of their own")
    return server, tuple(client), ()


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
