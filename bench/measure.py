"""What processes use, and what machine this is, from /proc."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, Self

from bench.errors import BenchError

_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
_UTIME: Final = 11
"""Place of the user time in /proc/PID/stat, counted after the name; the system time follows."""


@dataclass(frozen=True)
class Usage:
    """CPU of all threads since the start, and memory now."""

    cpu_seconds: float
    rss_kb: int

    @classmethod
    def of(cls, pids: Sequence[int]) -> Self:
        """The sum over processes.

        Raises:
            BenchError: one of them has ended.
        """
        try:
            stats = [Path(f"/proc/{pid}/stat").read_text() for pid in pids]
            statuses = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
        except OSError:
            raise BenchError("the server ended during the run") from None
        return cls(sum(map(cpu_seconds, stats)), sum(map(rss_kb, statuses)))


def cpu_seconds(stat: str) -> float:
    """Of the text of /proc/PID/stat. The name in it may hold blanks and brackets."""
    fields = stat[stat.rindex(")") + 1 :].split()
    return (int(fields[_UTIME]) + int(fields[_UTIME + 1])) / _TICKS_A_SECOND


def rss_kb(status: str) -> int:
    """Of the text of /proc/PID/status; 0 for a process that has no memory left."""
    return _field_kb(status, "VmRSS")


def machine_cpu_seconds(stat: str) -> float:
    """What all cores together have worked, or lost to other guests of the host; of /proc/stat."""
    user, nice, system, _, _, irq, softirq, steal = stat.splitlines()[0].split()[1:9]
    return sum(map(int, (user, nice, system, irq, softirq, steal))) / _TICKS_A_SECOND


def machine_cpu_seconds_now() -> float:
    return machine_cpu_seconds(Path("/proc/stat").read_text())


def slab_kb() -> int:
    """Memory of the kernel's own objects, the buffers of sockets among them; of all processes."""
    return _field_kb(Path("/proc/meminfo").read_text(), "Slab")


def _field_kb(text: str, name: str) -> int:
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0])
    return 0


def machine() -> dict[str, str]:
    """What figures depend on, for the head of a report."""
    return {
        "cpu": f"{_cpu_model()}, {len(os.sched_getaffinity(0))} cores",
        "kernel": platform.release(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": ", ".join(f"{name} {version(name)}" for name in ("uvloop", "msgspec")),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()
