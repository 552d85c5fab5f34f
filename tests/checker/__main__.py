"""The delivery checker for as long as one likes: `python -m tests.checker --seconds 3600`.

With `--backends` it plays on the real backends, with as many nodes as one likes and the trouble
that is chosen: `--backends --nodes 2 --trouble nodes bus`. `--plant` puts a bug into them, to see
that it is found.

Exit code 0 when nothing was found, 1 when something was.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.checker.anomaly import Anomaly
from tests.checker.checks import find_anomalies
from tests.checker.ground import PATIENCE, REST, Chosen, on_backends
from tests.checker.history import load
from tests.checker.plan import LEAST_USERS, Options
from tests.checker.planting import FAULTS_OF_NODES, all_faults, plant, read_fault
from tests.checker.report import tell
from tests.checker.rounds import play_rounds
from tests.support.loop import run
from tests.support.node import ROOT, Node

_SPARE_SECONDS = 600.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.checker", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--seed", help="of the decisions (drawn, and printed)")
    parser.add_argument(
        "--clients", type=int, default=12, help=f"users, at least {LEAST_USERS} (12)"
    )
    parser.add_argument(
        "--round-seconds", type=float, default=60.0, help="until new users take over (60)"
    )
    parser.add_argument("--backends", action="store_true", help="on the real ones, not embedded")
    parser.add_argument("--nodes", type=int, default=2, help="on the real backends (2)")
    parser.add_argument(
        "--trouble",
        nargs="*",
        choices=[*Chosen],
        help="on the real backends (nodes; with --plant what it takes)",
    )
    parser.add_argument(
        "--plant",
        choices=[fault.name for fault in all_faults(FAULTS_OF_NODES)],
        help="on the real backends: a bug, see faults_of_nodes",
    )
    parser.add_argument("--judge", type=Path, help="only check this history")
    chosen = parser.parse_args(arguments)
    if chosen.judge is not None:
        return _judge(chosen.judge)
    seed = chosen.seed or str(random.randrange(10**6))
    folder = Path(tempfile.mkdtemp(prefix="chatd-checker-"))
    _say(f"seed {seed}, data and histories in {folder}")
    options = _options(max(chosen.clients, LEAST_USERS))

    def play(node: Node, **more: Any) -> list[Anomaly]:
        return run(
            play_rounds(
                node,
                options,
                seed=seed,
                seconds=chosen.seconds,
                round_seconds=chosen.round_seconds,
                folder=folder,
                say=_say,
                **more,
            ),
            seconds=chosen.seconds + _SPARE_SECONDS,
        )

    if chosen.backends:
        code, trouble = ROOT, [Chosen.NODES]
        if chosen.plant is not None:
            fault = read_fault(FAULTS_OF_NODES / f"{chosen.plant}.toml")
            code = plant(fault, ROOT, folder / "code")
            trouble = [*map(Chosen, fault.trouble)]
        if chosen.trouble is not None:
            trouble = [*map(Chosen, chosen.trouble)]
        options = options._replace(patience=PATIENCE, rest=REST)
        with on_backends(folder, chosen.nodes, trouble, code=code) as ground:
            first, *others = ground.nodes
            found = play(first, others=others, trouble=ground.trouble)
            complaints = ground.complaints
    else:
        with Node(folder) as node:
            found = play(node)
            complaints = node.complaints
    for complaint in complaints[:10]:
        _say(complaint)
    _say(f"anomalies {len(found)}, errors in the server's log {len(complaints)}, seed {seed}")
    return 1 if found or complaints else 0


def _options(users: int) -> Options:
    """The more there are, the slower each: the load of all stays what it is."""
    usual = Options()
    return usual._replace(users=users, pause=usual.pause * users / usual.users)


def _judge(path: Path) -> int:
    records = load(path)
    found = find_anomalies(records)
    _say(tell(found, records))
    return 1 if found else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
