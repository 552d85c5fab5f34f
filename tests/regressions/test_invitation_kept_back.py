"""How to connect stood in a buffer until the server stopped, when its output was no terminal."""

from pathlib import Path

from tests.support.loop import run, until
from tests.support.node import Node


def test_how_to_connect_is_told_while_the_server_runs(tmp_path: Path) -> None:
    with Node(tmp_path, demo=True) as node:
        run(until(lambda: "make chat AS=alice" in node.output, "how to connect", seconds=5))
