"""The delivery checker over two nodes on the real backends, with trouble; longer by hand, see
`python -m tests.checker --help`."""

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.checker.ground import PATIENCE, REST, Chosen, on_backends
from tests.checker.plan import Options
from tests.checker.rounds import play_rounds
from tests.support.backends import Backends
from tests.support.loop import run

SECONDS: Final = 12.0
SPARE_SECONDS: Final = 180.0
OPTIONS: Final = Options(
    users=8,
    pause=0.03,
    kill_after=(2.0, 4.0),
    lost_after=(2.0, 4.0),
    lost_for=(0.3, 2.0),
    patience=PATIENCE,
    rest=REST,
)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    "chosen",
    [(Chosen.NODES, Chosen.BUS), (Chosen.POSTGRES, Chosen.REPLIES)],
    ids=lambda chosen: "+".join(chosen),
)
def test_the_promises_hold_over_two_nodes(
    chosen: Sequence[Chosen], backends: Backends, tmp_path: Path
) -> None:
    seed = str(random.randrange(10**6))
    say(f"seed {seed}")
    with on_backends(tmp_path, 2, chosen, backends) as ground:
        first, *others = ground.nodes
        found = run(
            play_rounds(
                first,
                OPTIONS,
                seed=seed,
                seconds=SECONDS,
                round_seconds=SECONDS,
                folder=tmp_path,
                say=say,
                others=others,
                trouble=ground.trouble,
            ),
            seconds=SECONDS + SPARE_SECONDS,
        )
        assert len(found) == 0, f"seed {seed}: see the output"
        assert ground.complaints == []
        if ground.bus is not None:
            assert ground.bus.lost > 0, "the bus is bad"
