"""chatd.supervisor, with workers that are a few lines of Python."""

import asyncio
import io
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from chatd import supervisor
from chatd.supervisor import Supervisor
from tests.support.running import on_a_loop, until

# A worker tells what it does in a file of its number, a line for each process.
_BEGIN = """
import os, signal, socket, sys
number, folder = int(sys.argv[-1]), sys.argv[1]
assert sys.argv[-2] == "--worker"
def tell(text):
    with open(f"{folder}/{number}", "a") as file:
        file.write(f"{os.getpid()} {text}\\n")
link = socket.socket(fileno=0)
"""
OBEDIENT = (
    _BEGIN
    + """
signals = [signal.SIGTERM, signal.SIGINT]
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
tell("begun")
link.send(b"r")
tell(f"stopped by {signal.Signals(signal.sigwait(signals)).name}")
"""
)
STUBBORN = (
    _BEGIN
    + """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
tell("begun")
link.send(b"r")
signal.pause()
"""
)
FAILING = (
    _BEGIN
    + """
tell("begun")
sys.exit(3)
"""
)
ORPHANED = (
    _BEGIN
    + """
tell("begun")
link.send(b"r")
tell(f"the supervisor is gone: {link.recv(1)}")
"""
)


class Stage:
    """What the workers of a test did, and what the supervisor said."""

    def __init__(self, folder: Path, log: io.StringIO) -> None:
        self._folder = folder
        self._log = log

    def supervisor(self, script: str, workers: int, *, seconds: float = 20.0) -> Supervisor:
        """`seconds`: how long a stop may take."""
        command = [sys.executable, "-S", "-c", script, str(self._folder)]
        drain_seconds = seconds - supervisor.BEYOND_THE_DRAIN_SECONDS
        return Supervisor(command, workers=workers, drain_seconds=drain_seconds)

    def told(self, number: int) -> list[str]:
        """The lines of a worker, without the numbers of its processes."""
        return [line.partition(" ")[2] for line in self._lines(number)]

    def pids(self, number: int) -> list[int]:
        """Of all the processes that were the worker, in their order."""
        return [int(line.split()[0]) for line in self._lines(number) if line.endswith("begun")]

    @property
    def log(self) -> str:
        return self._log.getvalue()

    def _lines(self, number: int) -> list[str]:
        file = self._folder / str(number)
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stream = io.StringIO()
    sink = logger.add(stream, format="{level}: {message}")
    yield Stage(tmp_path, stream)
    logger.remove(sink)


@on_a_loop
async def test_a_signal_is_passed_on_and_all_are_waited_for(stage: Stage) -> None:
    chief = stage.supervisor(OBEDIENT, 3)
    running = asyncio.create_task(chief.run())
    await until(lambda: "all 3 workers are ready" in stage.log)
    chief.stop(signal.SIGINT)
    assert await running == 0
    for number in (1, 2, 3):
        assert stage.told(number) == ["begun", "stopped by SIGINT"]
    assert "WARNING" not in stage.log


@pytest.mark.slow
@on_a_loop
async def test_a_worker_that_ends_is_started_again(stage: Stage) -> None:
    chief = stage.supervisor(OBEDIENT, 2)
    running = asyncio.create_task(chief.run())
    await until(lambda: "all 2 workers are ready" in stage.log)
    os.kill(stage.pids(2)[0], signal.SIGKILL)
    await until(lambda: len(stage.pids(2)) == 2)
    assert "WARNING: worker 2 ended with SIGKILL; it is started again in 0.5 s" in stage.log
    os.kill(stage.pids(2)[1], signal.SIGTERM)
    await until(lambda: len(stage.pids(2)) == 3)
    assert "worker 2 ended with exit code 0; it is started again in 1 s" in stage.log
    chief.stop(signal.SIGTERM)
    assert await running == 0
    assert stage.told(1) == ["begun", "stopped by SIGTERM"], "the other was left alone"
    assert stage.log.count("workers are ready") == 1


@on_a_loop
async def test_a_stop_does_not_wait_for_a_pause_to_end(stage: Stage) -> None:
    chief = stage.supervisor(OBEDIENT, 1)
    running = asyncio.create_task(chief.run())
    await until(lambda: "all 1 workers are ready" in stage.log)
    os.kill(stage.pids(1)[0], signal.SIGKILL)
    await until(lambda: "is started again" in stage.log)
    chief.stop(signal.SIGTERM)
    assert await running == 0
    assert len(stage.pids(1)) == 1


@on_a_loop
async def test_who_does_not_stop_in_time_is_killed(stage: Stage) -> None:
    chief = stage.supervisor(STUBBORN, 2, seconds=0.1)
    running = asyncio.create_task(chief.run())
    await until(lambda: "all 2 workers are ready" in stage.log)
    chief.stop(signal.SIGTERM)
    assert await running == 1
    assert "ERROR: 2 workers were killed after 0.1 s" in stage.log


@on_a_loop
async def test_when_the_first_does_not_start_the_others_are_not_tried(stage: Stage) -> None:
    assert await stage.supervisor(FAILING, 3).run() == 3
    assert stage.told(1) == ["begun"]
    assert stage.told(2) == stage.told(3) == []
    assert stage.log == "", "the worker has said why"


@on_a_loop
async def test_a_first_worker_that_is_killed_before_it_is_ready_is_named(stage: Stage) -> None:
    script = _BEGIN + "os.kill(os.getpid(), signal.SIGKILL)"
    assert await stage.supervisor(script, 2).run() == 1
    assert "ERROR: worker 1 ended with SIGKILL before it was ready" in stage.log


@on_a_loop
async def test_a_stop_before_anybody_is_ready(stage: Stage) -> None:
    script = OBEDIENT.replace('link.send(b"r")', "")
    chief = stage.supervisor(script, 2)
    running = asyncio.create_task(chief.run())
    await until(lambda: stage.told(1) == ["begun"])
    chief.stop(signal.SIGTERM)
    assert await running == 0
    assert stage.told(1) == ["begun", "stopped by SIGTERM"]
    assert stage.told(2) == []


@on_a_loop
async def test_a_worker_sees_the_death_of_its_supervisor(stage: Stage) -> None:
    chief = stage.supervisor(ORPHANED, 1)
    running = asyncio.create_task(chief.run())
    await until(lambda: "all 1 workers are ready" in stage.log)
    running.cancel()
    await asyncio.wait([running])
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await until(lambda: stage.told(1) == ["begun", "the supervisor is gone: b''"])
