"""What runs on the real backends too, and on what."""

from collections.abc import Iterator
from typing import Final

import pytest

from tests.support.backends import Backends
from tests.support.node import Node

EMBEDDED: Final = "embedded"
BACKENDS: Final = "backends"
ON_BOTH: Final = frozenset(
    f"tests.e2e.test_{name}"
    for name in (
        "accounts",
        "blocks",
        "bootstrap",
        "changes",
        "deletes",
        "devices",
        "direct",
        "group",
        "history",
        "kill",
        "offline",
        "presence",
        "receipts",
        "removal",
        "resume",
        "roles",
        "state",
        "typing",
    )
)
"""Modules whose tests of a node run embedded and on the backends."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for name in ("node", "own_node"):
        if name in metafunc.fixturenames and metafunc.module.__name__ in ON_BOTH:
            metafunc.parametrize(name, [EMBEDDED, BACKENDS], indirect=True, scope="module")


@pytest.fixture(scope="session")
def node_on_backends(
    backends: Backends, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    """One node for all of them, to be left running."""
    with Node(tmp_path_factory.mktemp("node-on-backends"), backends=backends) as node:
        yield node


@pytest.fixture(scope="module")
def node(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    """As elsewhere; of the modules `ON_BOTH` once more on the backends."""
    if getattr(request, "param", EMBEDDED) == BACKENDS:
        node: Node = request.getfixturevalue("node_on_backends")
        before = len(node.complaints)
        yield node
        assert node.complaints[before:] == []
    else:
        with Node(tmp_path_factory.mktemp("node")) as node:
            yield node
            assert node.complaints == []


@pytest.fixture
def own_node(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    """A node of the test's own, which may end as it likes."""
    is_embedded = getattr(request, "param", EMBEDDED) == EMBEDDED
    backends = None if is_embedded else request.getfixturevalue("backends")
    with Node(tmp_path_factory.mktemp("own-node"), backends=backends) as node:
        yield node
