"""Several nodes as one server: started and ended together, all on the same backends."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.backends import Backends
from tests.support.node import ROOT, Node


@contextmanager
def nodes_together(
    folder: Path, backends: Backends, settings: Sequence[Mapping[str, str]], code: Path = ROOT
) -> Iterator[list[Node]]:
    """A node for each of the settings, which are by name, without CHATD_, and come before those of
    the backends. What runs is the chatd package in the folder `code`."""
    nodes: list[Node] = []
    for number, own in enumerate(settings):
        place = folder / f"node-{number}"
        place.mkdir()
        nodes.append(Node(place, backends=backends, settings=own, code=code))
    with ExitStack() as stack:
        # Entered before they are started: one that does not start must not leave the others.
        for node in nodes:
            stack.push(node.__exit__)
        with ThreadPoolExecutor(len(nodes)) as threads:
            list(threads.map(Node.start, nodes))
        yield nodes
