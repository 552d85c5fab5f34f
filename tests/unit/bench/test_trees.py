"""Children found, their CPU counted when they have ended too, and everything moved and back."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.trees import Moved, Process, cpu_seconds_by_name, process_of, processes_now, tree

TICKS = os.sysconf("SC_CLK_TCK")
_PARENT = """
import subprocess, sys, threading
busy = "import time\\nend = time.process_time() + 0.1\\nwhile time.process_time() < end: pass"
subprocess.run([sys.executable, "-c", busy], check=True)
child = subprocess.Popen(["sleep", "600"])
threading.Thread(target=child.wait, daemon=True).start()
print(child.pid, flush=True)
sys.stdin.read()
child.kill()
"""


@contextmanager
def family() -> Iterator[tuple[int, int]]:
    """A process with two threads that had a child which worked for 0.1 s, and has another now; the
    numbers of the two that run."""
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with parent:
        assert parent.stdout is not None
        yield parent.pid, int(parent.stdout.readline())


def test_children_of_children_belong_to_it() -> None:
    processes = {pid: Process(parent, 1.0) for pid, parent in ((1, 0), (2, 1), (3, 2), (4, 1))}
    assert tree([2], processes) == {2, 3}
    assert tree([1], processes) == {1, 2, 3, 4}
    assert tree([3, 4, 9], processes) == {3, 4}


def test_cpu_has_that_of_children_which_ended_whatever_the_name() -> None:
    fields = " ".join(["S", "77", *("0" * 9), "100", "50", "20", "30", "7"])
    assert process_of(f"12 (a ) (b) {fields}") == Process(77, 200 / TICKS)


def test_this_process_is_among_all() -> None:
    assert processes_now()[os.getpid()].parent == os.getppid()


@pytest.mark.slow
def test_a_family_is_found_counted_moved_and_put_back() -> None:
    with family() as (parent, child):
        assert tree([parent]) == {parent, child}
        used = cpu_seconds_by_name({"family": [parent], "nobody": []})
        assert used["family"] >= 0.1
        assert used["nobody"] == 0
        before = os.sched_getaffinity(parent)
        core = max(before)
        threads = [int(task.name) for task in Path(f"/proc/{parent}/task").iterdir()]
        assert len(threads) > 1
        with Moved([parent], [core]):
            assert [os.sched_getaffinity(one) for one in (*threads, child)] == [{core}] * (
                len(threads) + 1
            )
        assert [os.sched_getaffinity(one) for one in (*threads, child)] == [before] * (
            len(threads) + 1
        )


@pytest.mark.slow
def test_if_one_cannot_be_moved_none_is() -> None:
    ended = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(ended, 0)
    with family() as (parent, _):
        before = os.sched_getaffinity(parent)
        with pytest.raises(ProcessLookupError), Moved([parent, ended], [max(before)]):
            raise AssertionError("it was entered")
        assert os.sched_getaffinity(parent) == before
