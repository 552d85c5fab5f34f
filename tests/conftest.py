"""What every test gets, and fixtures that several folders share."""

import gc
import logging
from collections.abc import Iterator

import pytest

from tests.support.backends import Backends
from tests.support.keyspace import Keyspace, own_keyspace
from tests.support.node import Node
from tests.support.services import stop_services


class _Collector(logging.Handler):
    """Keeps what an event loop reports: exceptions that nobody caught."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.reports: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.reports.append(logging.Formatter().format(record))


def pytest_unconfigure() -> None:
    stop_services()


def pytest_collection_finish() -> None:
    # What is there by now stays: the collections after each test need not look at it.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def loop_reports() -> Iterator[list[str]]:
    """What reached the exception handler of a loop; fails the test unless it takes it out."""
    collector = _Collector()
    logger = logging.getLogger("asyncio")
    logger.addHandler(collector)
    try:
        yield collector.reports
        # The exception of a task that nobody awaited is reported when the task is collected. What
        # the test made is young: to look at all that there is would double the time of the suite.
        gc.collect(1)
    finally:
        logger.removeHandler(collector)
    assert not collector.reports, "\n".join(collector.reports)


@pytest.fixture(scope="session")
def keyspace() -> Iterator[Keyspace]:
    """A keyspace of Cassandra for the tests of the run; whoever uses it empties it first."""
    with own_keyspace() as keyspace:
        yield keyspace


@pytest.fixture(scope="session")
def backends() -> Iterator[Backends]:
    """Real backends that tests of nodes share: the names of their users differ."""
    with Backends() as backends:
        yield backends


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A daemon for the tests of one module, which leave it running; it may report no error."""
    with Node(tmp_path_factory.mktemp("node")) as node:
        yield node
        assert node.complaints == []
