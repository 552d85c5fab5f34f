"""Rounds one after the other on the same nodes, each judged when it is over."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from tests.checker.anomaly import Anomaly
from tests.checker.checks import find_anomalies
from tests.checker.history import History, save
from tests.checker.killing import Killing
from tests.checker.plan import Options
from tests.checker.play import Trouble, play
from tests.checker.report import Tally, tell
from tests.support.node import Node

SUMMARY_SECONDS: Final = 10.0
_QUIET_EVERY: Final = 4
_QUIET: Final[dict[str, Any]] = {"kill_after": (25.0, 60.0), "longest_stay": 2_000}
"""In every fourth round connections live long enough to be pinged."""


async def play_rounds(
    node: Node,
    options: Options,
    *,
    seed: str,
    seconds: float,
    round_seconds: float,
    folder: Path,
    say: Callable[[str], object],
    others: Sequence[Node] = (),
    trouble: Callable[[Options, str], Trouble] | None = None,
) -> list[Anomaly]:
    """Play for `seconds`, in rounds of new users; what was found. Histories of rounds in which
    something was found are in `folder`. `others` are further nodes of the same server, and
    `trouble` makes that of a round, from its options and seed: nodes that are killed, unless it
    is given."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    tally = Tally()
    found: list[Anomaly] = []
    number = 0
    while (left := began + seconds - loop.time()) > 0:
        number += 1
        tally.next_round()
        history = History()
        round_seed = f"{seed}.{number}"
        path = folder / f"history-{round_seed}.jsonl"
        now = options._replace(**_QUIET) if number % _QUIET_EVERY == 0 else options
        stop = asyncio.Event()
        loop.call_later(min(left, round_seconds), stop.set)
        playing = loop.create_task(
            play(
                node,
                history,
                now,
                trouble(now, round_seed)
                if trouble is not None
                else Killing(node, now, round_seed, others=others),
                seed=round_seed,
                stop=stop,
                prefix=f"r{number}_",
                others=others,
            )
        )
        while not playing.done():
            await asyncio.wait([playing], timeout=SUMMARY_SECONDS)
            tally.take(history.records)
            say(f"{loop.time() - began:6.0f} s  {tally}")
        if playing.exception() is not None:
            save(history.records, path)
            say(f"the history is in {path}")
        playing.result()
        anomalies = find_anomalies(history.records)
        if anomalies:
            save(history.records, path)
            tally.anomalies += len(anomalies)
            found += anomalies
            say(tell(anomalies, history.records))
            say(f"the history is in {path}")
    return found
