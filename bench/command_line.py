"""The commands and flags, and what they are when they are not given."""

import argparse
from pathlib import Path
from typing import Final

from bench.arguments import cores, positive, whole
from bench.markers import MAX_NUMBER, WIDTH
from protocol.limits import CONTENT_BYTES, GROUP_MEMBERS

MESSAGES: Final = 20_000
MEMBERS: Final = 100
IN_FLIGHT: Final = 8
PAIRS: Final = 100
CONNECTIONS: Final = 5_000
READERS: Final = 1_000
"""Members of the group in which some stall."""
READERS_RATE: Final = 200.0
STALLED_PERCENT: Final = 10
SECONDS: Final = 60.0
CLIENTS: Final = 2_000
"""Those that come back at once."""
MISSED: Final = 150
SIZE: Final = 120
HOLD_SECONDS: Final = 30.0
"""As long as the server's keepalive takes to ping everybody once."""
PATIENCE_SECONDS: Final = 10.0
LEAST_MEMBERS: Final = 2
_MAX_CONNECTIONS: Final = 200_000
_STALLED_HELP: Final = "a group in which some read nothing: memory, and what the others feel of it"
_RECONNECT_HELP: Final = "all clients come back at once and resume"
_EPILOG: Final = """\
exit codes: 0 all is well; 1 messages were lost, came twice or out of order, a run failed, or `all`
or `reconnect` found a figure beyond its bound; 2 bad usage; 130 stopped with Ctrl-C
"""


def parser() -> argparse.ArgumentParser:
    bench = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure chatd: server CPU, latency, memory; with an account of every message.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = bench.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common, compared = _common(), _compared()
    group = commands.add_parser(
        "group", parents=[common, compared], help="messages to one group", allow_abbrev=False
    )
    group.add_argument(
        "--members", type=whole(LEAST_MEMBERS, GROUP_MEMBERS), default=MEMBERS, metavar="N"
    )
    group.add_argument(
        "--in-flight",
        type=whole(1, 100_000),
        default=IN_FLIGHT,
        metavar="N",
        help="messages under way in the closed loop",
    )
    pairs = commands.add_parser(
        "pairs", parents=[common, compared], help="direct messages, one in flight per pair"
    )
    pairs.add_argument("--pairs", type=whole(1, GROUP_MEMBERS), default=PAIRS, metavar="N")
    connections = commands.add_parser(
        "connections", parents=[common, compared], help="idle connections of as many users"
    )
    connections.add_argument(
        "connections",
        nargs="?",
        type=whole(1, _MAX_CONNECTIONS),
        default=CONNECTIONS,
        metavar="N",
        help=f"default {CONNECTIONS:,}",
    )
    everything = commands.add_parser(
        "all", parents=[common, compared], help="these three, beside the bounds that must be kept"
    )
    everything.add_argument(
        "--connections", type=whole(1, _MAX_CONNECTIONS), default=CONNECTIONS, metavar="N"
    )
    _add_stalled(commands.add_parser("stalled", parents=[common], help=_STALLED_HELP))
    _add_reconnect(commands.add_parser("reconnect", parents=[common], help=_RECONNECT_HELP))
    for one in (group, pairs, everything):
        one.add_argument(
            "--messages",
            type=whole(1, MAX_NUMBER),
            default=MESSAGES,
            metavar="N",
            help=f"measured messages, default {MESSAGES:,}",
        )
    for one in (group, pairs):
        one.add_argument(
            "--rate",
            type=positive,
            default=0.0,
            metavar="R",
            help="open loop: messages a second over all, whatever the server does",
        )
    for one in (connections, everything):
        one.add_argument(
            "--hold",
            type=positive,
            default=HOLD_SECONDS,
            metavar="SECONDS",
            help=f"how long connections stay idle, default {HOLD_SECONDS:g}",
        )
    return bench


def _add_stalled(stalled: argparse.ArgumentParser) -> None:
    stalled.add_argument(
        "--members",
        type=whole(LEAST_MEMBERS, GROUP_MEMBERS - 1),
        default=READERS,
        metavar="N",
        help=f"of the group, besides the one who posts, default {READERS:,}",
    )
    stalled.add_argument(
        "--stalled",
        type=whole(1, 90),
        default=STALLED_PERCENT,
        metavar="PERCENT",
        help=f"of them who stop reading, default {STALLED_PERCENT}",
    )
    stalled.add_argument(
        "--rate",
        type=positive,
        default=READERS_RATE,
        metavar="R",
        help=f"messages a second, whatever the server does, default {READERS_RATE:g}",
    )
    stalled.add_argument(
        "--seconds",
        type=positive,
        default=SECONDS,
        metavar="S",
        help=f"how long that goes on, default {SECONDS:g}",
    )
    stalled.add_argument(
        "--scale",
        type=positive,
        default=1.0,
        metavar="F",
        help="members and rate times this, for a machine that cannot read as much",
    )


def _add_reconnect(reconnect: argparse.ArgumentParser) -> None:
    reconnect.add_argument(
        "--clients",
        type=whole(2, _MAX_CONNECTIONS),
        default=CLIENTS,
        metavar="N",
        help=f"default {CLIENTS:,}",
    )
    reconnect.add_argument(
        "--missed",
        type=whole(1, 10_000),
        default=MISSED,
        metavar="N",
        help=f"messages of each of a client's two or three groups, default {MISSED}",
    )


def _compared() -> argparse.ArgumentParser:
    compared = argparse.ArgumentParser(add_help=False)
    compared.add_argument(
        "--beside", choices=["centrifuge"], help="run this peer too, with the same load"
    )
    return compared


def _common() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--repeat", type=whole(1, 1000), default=1, metavar="N", help="median, least and most of N"
    )
    common.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    common.add_argument(
        "--size",
        type=whole(WIDTH, CONTENT_BYTES),
        default=SIZE,
        metavar="BYTES",
        help=f"content of a message, default {SIZE}",
    )
    common.add_argument(
        "--warm-up",
        type=whole(0, MAX_NUMBER),
        metavar="N",
        help="messages that are not measured, default a tenth",
    )
    common.add_argument("--server-core", type=whole(0, 4095), metavar="N")
    common.add_argument(
        "--client-core",
        type=cores,
        metavar="N[,N...]",
        help="a load process for each",
    )
    common.add_argument(
        "--dir", type=Path, metavar="FOLDER", help="on the disk whose fsync is to count"
    )
    common.add_argument(
        "--patience",
        type=positive,
        default=PATIENCE_SECONDS,
        metavar="SECONDS",
        help="without any arrival, after which the missing are lost",
    )
    return common
