"""chatd.waiting"""

import asyncio
import io
from collections.abc import Iterator

import pytest
from loguru import logger

from chatd.errors import BackendAway, BackendError, StartError
from chatd.waiting import Patience, endpoint
from tests.support.running import on_a_loop

NAME = "PostgreSQL at db:5432"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    sink = logger.add(stream, format="{level}: {message}")
    yield stream
    logger.remove(sink)


class Backend:
    """Comes up after some attempts to reach it."""

    def __init__(self, fails: int) -> None:
        self.fails = fails
        self.attempts = 0

    async def attempt(self) -> str:
        self.attempts += 1
        if self.attempts <= self.fails:
            raise BackendError("PostgreSQL: \n it is not there")
        return "connected"


@on_a_loop
async def test_what_is_there_is_reached_at_once(log: io.StringIO) -> None:
    backend = Backend(0)
    assert await Patience(0).reach(NAME, backend.attempt) == "connected"
    assert backend.attempts == 1
    assert log.getvalue() == ""


@pytest.mark.slow
@on_a_loop
async def test_what_comes_is_waited_for_and_the_log_says_so_once(log: io.StringIO) -> None:
    backend = Backend(2)
    assert await Patience(30).reach(NAME, backend.attempt) == "connected"
    assert backend.attempts == 3
    waiting = f"WARNING: waiting up to 30 s for {NAME}: PostgreSQL: it is not there\n"
    assert log.getvalue() == waiting


@on_a_loop
async def test_what_does_not_come_is_named_in_one_line() -> None:
    with pytest.raises(BackendAway) as away:
        await Patience(0.01).reach(NAME, Backend(100).attempt)
    assert str(away.value) == f"{NAME} was not there for 0.01 s: PostgreSQL: it is not there"
    assert (away.value.exit_code, StartError("x").exit_code) == (1, 2)


@on_a_loop
async def test_the_deadline_is_one_for_all(log: io.StringIO) -> None:
    patience = Patience(0.01)
    with pytest.raises(BackendAway):
        await patience.reach(NAME, Backend(100).attempt)
    late = Backend(1)
    with pytest.raises(BackendAway, match="Redis at r:1"):
        await patience.reach("Redis at r:1", late.attempt)
    assert late.attempts == 1


@on_a_loop
async def test_a_refusal_is_told_at_once() -> None:
    attempts = 0

    async def refused() -> None:
        nonlocal attempts
        attempts += 1
        raise StartError("wrong password")

    with pytest.raises(StartError, match="wrong password"):
        await Patience(30).reach(NAME, refused)
    assert attempts == 1


@on_a_loop
async def test_who_does_not_answer_is_not_waited_for_any_longer() -> None:
    async def silent() -> None:
        await asyncio.Event().wait()

    with pytest.raises(BackendAway, match="no answer"):
        await Patience(0.01).reach(NAME, silent)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("postgresql://chatd:hush@db/chatd", "db:5432"),
        ("postgresql://chatd:hush@db:6000/chatd?password=hush", "db:6000"),
        ("postgresql://[::1]/chatd", "[::1]:5432"),
        ("postgresql:///chatd", "localhost:5432"),
    ],
)
def test_a_url_is_named_by_its_host_and_port(url: str, named: str) -> None:
    assert endpoint(url, 5432) == named
