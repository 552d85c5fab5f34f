"""The delivery checker for as long as one likes: `python -m tests.checker --seconds 3600`.

Exit code 0 when nothing was found, 1 when something was.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.checker.checks import find_anomalies
from tests.checker.history import load
from tests.checker.plan import LEAST_USERS, Options
from tests.checker.report import tell
from tests.checker.rounds import play_rounds
from tests.support.loop import run
from tests.support.node import Node

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
    parser.add_argument("--judge", type=Path, help="only check this history")
    chosen = parser.parse_args(arguments)
    if chosen.judge is not None:
        return _judge(chosen.judge)
    seed = chosen.seed or str(random.randrange(10**6))
    folder = Path(tempfile.mkdtemp(prefix="chatd-checker-"))
    _say(f"seed {seed}, data and histories in {folder}")
    options = _options(max(chosen.clients, LEAST_USERS))
    with Node(folder) as node:
        found = run(
            play_rounds(
                node,
                options,
                seed=seed,
                seconds=chosen.seconds,
                round_seconds=chosen.round_seconds,
                folder=folder,
                say=_say,
            ),
            seconds=chosen.seconds + _SPARE_SECONDS,
        )
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
