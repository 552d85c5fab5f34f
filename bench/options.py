"""The command line, checked before anything is started."""

import argparse
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.errors import BenchError
from bench.markers import MAX_NUMBER, WIDTH
from protocol.limits import CONTENT_BYTES, GROUP_MEMBERS

MESSAGES: Final = 20_000
MEMBERS: Final = 100
IN_FLIGHT: Final = 8
PAIRS: Final = 100
CONNECTIONS: Final = 5_000
SIZE: Final = 120
HOLD_SECONDS: Final = 30.0
"""As long as the server's keepalive takes to ping everybody once."""
PATIENCE_SECONDS: Final = 10.0
_WARM_UP_SHARE: Final = 0.1
_LEAST_WARM_UP: Final = 500
_MAX_CONNECTIONS: Final = 200_000
_EPILOG: Final = """\
exit codes: 0 all is well; 1 messages were lost, came twice or out of order, a run failed, or `all`
found a figure beyond its bound; 2 bad usage; 130 stopped with Ctrl-C
"""


@dataclass(frozen=True)
class Options:
    command: str
    members: int
    in_flight: int
    pairs: int
    connections: int
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
    notes: tuple[str, ...]
    """What the user should know about the choices that were made."""


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Ends the program with a line on stderr and code 2 if the arguments are wrong.

    Raises:
        BenchError: the cores do not exist.
    """
    given = _parser().parse_args(arguments)
    messages: int = getattr(given, "messages", MESSAGES)
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
        members=getattr(given, "members", MEMBERS),
        in_flight=getattr(given, "in_flight", IN_FLIGHT),
        pairs=getattr(given, "pairs", PAIRS),
        connections=getattr(given, "connections", CONNECTIONS),
        messages=messages,
        warm_up=warm_up,
        rate=getattr(given, "rate", 0.0),
        size=given.size,
        hold_seconds=getattr(given, "hold", HOLD_SECONDS),
        patience_seconds=given.patience,
        beside=given.beside,
        repeat=given.repeat,
        json=given.json,
        folder=folder,
        server_core=server_core,
        client_cores=client_cores,
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure chatd: server CPU, latency, memory; with an account of every message.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = _common()
    group = commands.add_parser(
        "group", parents=[common], help="messages to one group", allow_abbrev=False
    )
    group.add_argument("--members", type=_whole(2, GROUP_MEMBERS), default=MEMBERS, metavar="N")
    group.add_argument(
        "--in-flight",
        type=_whole(1, 100_000),
        default=IN_FLIGHT,
        metavar="N",
        help="messages under way in the closed loop",
    )
    pairs = commands.add_parser(
        "pairs", parents=[common], help="direct messages, one in flight per pair"
    )
    pairs.add_argument("--pairs", type=_whole(1, GROUP_MEMBERS), default=PAIRS, metavar="N")
    connections = commands.add_parser(
        "connections", parents=[common], help="idle connections of as many users"
    )
    connections.add_argument(
        "connections",
        nargs="?",
        type=_whole(1, _MAX_CONNECTIONS),
        default=CONNECTIONS,
        metavar="N",
        help=f"default {CONNECTIONS:,}",
    )
    everything = commands.add_parser(
        "all", parents=[common], help="these three, beside the bounds that must be kept"
    )
    everything.add_argument(
        "--connections", type=_whole(1, _MAX_CONNECTIONS), default=CONNECTIONS, metavar="N"
    )
    for one in (group, pairs, everything):
        one.add_argument(
            "--messages",
            type=_whole(1, MAX_NUMBER),
            default=MESSAGES,
            metavar="N",
            help=f"measured messages, default {MESSAGES:,}",
        )
    for one in (group, pairs):
        one.add_argument(
            "--rate",
            type=_positive,
            default=0.0,
            metavar="R",
            help="open loop: messages a second over all, whatever the server does",
        )
    for one in (connections, everything):
        one.add_argument(
            "--hold",
            type=_positive,
            default=HOLD_SECONDS,
            metavar="SECONDS",
            help=f"how long connections stay idle, default {HOLD_SECONDS:g}",
        )
    return parser


def _common() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--beside", choices=["centrifuge"], help="run this peer too, with the same load"
    )
    common.add_argument(
        "--repeat", type=_whole(1, 1000), default=1, metavar="N", help="median, least and most of N"
    )
    common.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    common.add_argument(
        "--size",
        type=_whole(WIDTH, CONTENT_BYTES),
        default=SIZE,
        metavar="BYTES",
        help=f"content of a message, default {SIZE}",
    )
    common.add_argument(
        "--warm-up",
        type=_whole(0, MAX_NUMBER),
        metavar="N",
        help="messages that are not measured, default a tenth",
    )
    common.add_argument("--server-core", type=_whole(0, 4095), metavar="N")
    common.add_argument(
        "--client-core",
        type=_cores,
        metavar="N[,N...]",
        help="a load process for each",
    )
    common.add_argument(
        "--dir", type=Path, metavar="FOLDER", help="on the disk whose fsync is to count"
    )
    common.add_argument(
        "--patience",
        type=_positive,
        default=PATIENCE_SECONDS,
        metavar="SECONDS",
        help="without any arrival, after which the missing are lost",
    )
    return common


def _whole(least: int, most: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{number} is not between {least} and {most}")
        return number

    return convert


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def _cores(text: str) -> list[int]:
    return [_whole(0, 4095)(part) for part in text.split(",")]
