import os
import sys
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.processes import HOST, ChildServer, accepts, free_ports, pinned


def child(code: str, tmp_path: Path, core: int | None = None) -> ChildServer:
    command = [sys.executable, "-c", code]
    return ChildServer("child", command, os.environ, tmp_path / "log", core)


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.slow
def test_it_is_waited_for_and_stopped(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    assert not accepts(port)
    server = child(
        f"import socket, time; s = socket.create_server(({HOST!r}, {port})); time.sleep(600)",
        tmp_path,
    )
    try:
        server.wait_until(lambda: accepts(port))
        server.check()
    finally:
        server.stop()
    assert all(map(is_gone, server.pids))
    server.stop()


def test_one_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    server = child("import sys; print('first', flush=True); sys.exit('no such disk')", tmp_path)
    with pytest.raises(BenchError, match="child ended with code 1: no such disk"):
        server.wait_until(lambda: False)
    server.stop()


def test_one_that_cannot_be_executed(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="child cannot be started"):
        ChildServer("child", [str(tmp_path / "missing")], {}, tmp_path / "log", None)


def test_pinning_is_for_the_child_alone(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    core = max(before)
    with pinned(core):
        assert os.sched_getaffinity(0) == {core}
    with pinned(core, min(before)):
        assert os.sched_getaffinity(0) == {core, min(before)}
    with pinned(None):
        assert os.sched_getaffinity(0) == before
    assert os.sched_getaffinity(0) == before
    server = child("import time; time.sleep(600)", tmp_path, core)
    try:
        assert os.sched_getaffinity(server.pids[0]) == {core}
    finally:
        server.stop()


def test_free_ports_differ() -> None:
    assert len(set(free_ports(10))) == 10
