"""Processes together with all that they started: which they are, what CPU they use, and where they
run."""

import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
_PARENT: Final = 1
_TIMES: Final = slice(11, 15)
"""Places in /proc/PID/stat, counted after the name: the parent's number; user and system time of
the process and of its children that have ended."""


class Process(NamedTuple):
    parent: int
    cpu_seconds: float
    """With that of its children which have ended."""


def tree(roots: Iterable[int], processes: Mapping[int, Process] | None = None) -> set[int]:
    """Those of the roots that run, and their children, and so on.

    Args:
        processes: those of this moment, if they were looked at already.
    """
    processes = processes_now() if processes is None else processes
    children: dict[int, list[int]] = {}
    for pid, process in processes.items():
        children.setdefault(process.parent, []).append(pid)
    found: set[int] = set()
    waiting = [pid for pid in roots if pid in processes]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, ())
    return found


def cpu_seconds_by_name(roots: Mapping[str, Collection[int]]) -> dict[str, float]:
    """What each of several trees has used, with their processes that have ended."""
    processes = processes_now()
    return {
        name: sum(processes[pid].cpu_seconds for pid in tree(pids, processes))
        for name, pids in roots.items()
    }


def processes_now() -> dict[int, Process]:
    """All processes of the machine, by number."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):  # it has ended meanwhile
                found[int(folder.name)] = process_of(Path(folder, "stat").read_text())
    return found


def process_of(stat: str) -> Process:
    """Of the text of /proc/PID/stat."""
    fields = stat[stat.rindex(")") + 1 :].split()
    return Process(int(fields[_PARENT]), sum(map(int, fields[_TIMES])) / _TICKS_A_SECOND)


class Moved:
    """Trees that run on some cores from entering the context to leaving it: every thread of them,
    and what they start meanwhile. Afterwards all may run where their roots might before."""

    def __init__(self, roots: Iterable[int], cores: Collection[int]) -> None:
        self._roots = list(roots)
        self._cores = set(cores)
        self._before: dict[int, set[int]] = {}

    def __enter__(self) -> Self:
        """Raises OSError: one of them may not be moved; then none is."""
        try:
            for root in self._roots:
                self._before[root] = os.sched_getaffinity(root)
                _move(root, self._cores)
        except BaseException:
            self._move_back()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._move_back()

    def _move_back(self) -> None:
        for root, cores in self._before.items():
            with suppress(OSError):  # it may have ended
                _move(root, cores)
        self._before.clear()


def _move(root: int, cores: set[int]) -> None:
    # Twice: one that was not moved yet may have started another that was not seen.
    for _ in range(2):
        for pid in tree([root]):
            for thread in _threads(pid):
                with suppress(ProcessLookupError):  # it has ended
                    os.sched_setaffinity(thread, cores)


def _threads(pid: int) -> list[int]:
    try:
        return [int(folder.name) for folder in Path(f"/proc/{pid}/task").iterdir()]
    except FileNotFoundError:
        return []
