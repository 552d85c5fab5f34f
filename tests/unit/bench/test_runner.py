"""Which scenarios a command runs."""

from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.options import parse
from bench.peers.chatd import Chatd
from bench.runner import OWN_SCENARIOS, SCENARIOS, scenarios_of


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["all"], ["group", "pairs", "connections"]),
        (["all", "--on", "backends"], ["group", "pairs", "paced", "nodes", "connections"]),
        (["pairs"], ["pairs"]),
        (["pairs", "--on", "backends"], ["pairs", "paced"]),
        (["pairs", "--on", "backends", "--rate", "50"], ["pairs"]),
        (["soak"], ["soak"]),
        (["nodes"], ["nodes"]),
    ],
)
def test_scenarios_of_a_command(arguments: list[str], names: list[str]) -> None:
    assert scenarios_of(parse(arguments)) == names
    assert set(names) <= SCENARIOS.keys() | OWN_SCENARIOS.keys()


def test_what_is_paced_says_so_and_the_closed_loop_does_not() -> None:
    options = parse(["pairs", "--on", "backends"])
    assert "1000 messages/s" in SCENARIOS["paced"].title(options)
    assert "one in flight each" in SCENARIOS["pairs"].title(options)


def test_embedded_there_is_one_node(tmp_path: Path) -> None:
    peer = Chatd(tmp_path, None)
    peer.start_nodes(1)
    with pytest.raises(BenchError, match="--on backends"):
        peer.start_nodes(2)
