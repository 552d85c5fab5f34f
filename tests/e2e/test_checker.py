"""The delivery checker on the real server, and on servers with planted bugs."""

import asyncio
import random
import shutil
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.checker.anomaly import Anomaly
from tests.checker.checks import find_anomalies
from tests.checker.history import History
from tests.checker.killing import Killing
from tests.checker.plan import Options
from tests.checker.planting import Fault, NotPlanted, Replacement, all_faults, plant
from tests.checker.play import NoTrouble, Trouble, play
from tests.checker.report import tell
from tests.checker.rounds import play_rounds
from tests.support.loop import run, until
from tests.support.node import ROOT, Node

SECONDS: Final = 60.0
SPARE_SECONDS: Final = 120.0
HASTY: Final = Options(users=6, pause=0.01, longest_stay=40, kill_after=(0.5, 1.2), rest=1.0)
RECORDS: Final = 5_000
"""Of a round that looks for a planted bug."""
ROUNDS: Final = 12


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


@pytest.mark.slow
def test_the_promises_hold_while_clients_come_and_go_and_the_server_is_killed(
    tmp_path: Path,
) -> None:
    seed = str(random.randrange(10**6))
    say(f"seed {seed}")
    with Node(tmp_path) as node:
        found = run(
            play_rounds(
                node,
                Options(),
                seed=seed,
                seconds=SECONDS,
                round_seconds=SECONDS,
                folder=tmp_path,
                say=say,
            ),
            seconds=SECONDS + SPARE_SECONDS,
        )
        # Against an assert that prints them all: what there is to say was said.
        assert len(found) == 0, f"seed {seed}: see the output"
        assert node.stop() == 0
        assert node.complaints == []


async def hasty_round(node: Node, trouble: Trouble, seed: str) -> History:
    history, stop = History(), asyncio.Event()
    playing = asyncio.create_task(
        play(node, history, HASTY, trouble, seed=seed, stop=stop, prefix=f"r{seed}_")
    )
    await until(
        lambda: playing.done() or len(history.records) >= RECORDS,
        f"{RECORDS} records",
        seconds=SPARE_SECONDS,
    )
    stop.set()
    await playing
    return history


@pytest.mark.slow
@pytest.mark.parametrize("fault", all_faults(), ids=lambda fault: fault.name)
def test_a_planted_bug_is_found(fault: Fault, tmp_path: Path) -> None:
    code = plant(fault, ROOT, tmp_path / "code")
    found: list[Anomaly] = []
    with Node(tmp_path, code=code) as node:
        for number in range(ROUNDS):
            seed = str(number)
            trouble = Killing(node, HASTY, seed) if fault.needs_kills else NoTrouble()
            history = run(hasty_round(node, trouble, seed), seconds=2 * SPARE_SECONDS)
            found = find_anomalies(history.records)
            if any(anomaly.kind in fault.found_as for anomaly in found):
                return
    pytest.fail(f"not found: {fault.what}\n{tell(found, history.records)}")


def test_a_fault_whose_place_has_changed_is_not_planted(tmp_path: Path) -> None:
    fault = all_faults()[0]
    elsewhere = Replacement("chatd/ids.py", "no such text", "")
    with pytest.raises(NotPlanted):
        plant(fault._replace(replacements=[elsewhere]), ROOT, tmp_path / "code")
    twice = Replacement("chatd/ids.py", "import", "")
    shutil.rmtree(tmp_path / "code")
    with pytest.raises(NotPlanted):
        plant(fault._replace(replacements=[twice]), ROOT, tmp_path / "code")
