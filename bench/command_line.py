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
PACE: Final = 1_000.0
"""Messages a second of what is measured at a steady rate."""
SOAK_CONNECTIONS: Final = 10_000
SOAK_SECONDS: Final = 120.0
SOAK_GROUP_MEMBERS: Final = 10
LEAST_SOAK_CONNECTIONS: Final = 2 + SOAK_GROUP_MEMBERS
"""A pair and a group."""
BUSY_PERCENT: Final = 10
CONNECT_RATE: Final = 250.0
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
_NODES_HELP: Final = "messages to one group on two nodes, beside one (on the backends alone)"
_SOAK_HELP: Final = "many connections, most of them idle, and messages at a steady rate"
_EPILOG: Final = """\
On backends, chatd stands on PostgreSQL, Cassandra and Redis: those that CHATD_DATABASE_URL,
CHATD_CASSANDRA_HOSTS and CHATD_REDIS_URL name, or else the project's own, which are started and
stopped again where they do not run. It gets a database, a keyspace and Redis databases of its own.

exit codes: 0 all is well; 1 messages were lost, came twice or out of order, a run failed, or a
figure was beyond its bound (with `all`, `reconnect` and --bounds); 2 bad usage; 130 stopped with
Ctrl-C
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
        "all",
        parents=[common, compared],
        help="these three, on backends also `nodes`, beside the bounds that must be kept",
    )
    everything.add_argument(
        "--connections", type=whole(1, _MAX_CONNECTIONS), default=CONNECTIONS, metavar="N"
    )
    _add_stalled(commands.add_parser("stalled", parents=[common], help=_STALLED_HELP))
    _add_reconnect(commands.add_parser("reconnect", parents=[common], help=_RECONNECT_HELP))
    # Not the same parent: a default is of the argument, wherever it is.
    nodes = commands.add_parser("nodes", parents=[_common()], help=_NODES_HELP)
    nodes.set_defaults(on="backends")
    _add_soak(commands.add_parser("soak", parents=[common], help=_SOAK_HELP))
    for one in (group, nodes):
        one.add_argument(
            "--members", type=whole(LEAST_MEMBERS, GROUP_MEMBERS), default=MEMBERS, metavar="N"
        )
        one.add_argument(
            "--in-flight",
            type=whole(1, 100_000),
            default=IN_FLIGHT,
            metavar="N",
            help="messages under way in the closed loop",
        )
    for one in (group, pairs, nodes, everything):
        one.add_argument(
            "--messages",
            type=whole(1, MAX_NUMBER),
            default=MESSAGES,
            metavar="N",
            help=f"measured messages, default {MESSAGES:,}",
        )
    for one in (group, pairs, nodes):
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


def _add_soak(soak: argparse.ArgumentParser) -> None:
    soak.add_argument(
        "--connections",
        type=whole(LEAST_SOAK_CONNECTIONS, _MAX_CONNECTIONS),
        default=SOAK_CONNECTIONS,
        metavar="N",
        help=f"default {SOAK_CONNECTIONS:,}",
    )
    soak.add_argument(
        "--busy",
        type=whole(1, 100),
        default=BUSY_PERCENT,
        metavar="PERCENT",
        help=f"of them who are in a pair or a group, default {BUSY_PERCENT}",
    )
    soak.add_argument(
        "--rate",
        type=positive,
        default=PACE,
        metavar="R",
        help=f"messages a second, whatever the server does, default {PACE:g}",
    )
    soak.add_argument(
        "--seconds",
        type=positive,
        default=SOAK_SECONDS,
        metavar="S",
        help=f"how long that goes on, default {SOAK_SECONDS:g}",
    )
    soak.add_argument(
        "--connect-rate",
        type=positive,
        default=CONNECT_RATE,
        metavar="R",
        help=f"connections opened a second, at most, default {CONNECT_RATE:g}",
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
        "--on",
        choices=["embedded", "backends"],
        default="embedded",
        help="what chatd stands on, default embedded",
    )
    common.add_argument(
        "--bounds",
        action="store_true",
        help="show what must be reached beside it, and fail where it is not",
    )
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
        "--leave-services",
        action="store_true",
        help="on backends: leave the services on whatever core they run; otherwise they are moved"
        " to those of the load, and back",
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
