import os

import pytest

from bench.errors import BenchError
from bench.measure import Usage, cpu_seconds, machine, machine_cpu_seconds, rss_kb, slab_kb

TICKS = os.sysconf("SC_CLK_TCK")


def test_cpu_is_user_and_system_time_whatever_the_name() -> None:
    fields = " ".join(["S", *("0" * 10), "150", "50", "7", "7"])
    assert cpu_seconds(f"12 (a ) (b) {fields}") == 200 / TICKS


def test_rss_of_a_status() -> None:
    assert rss_kb("Name:\tx\nVmHWM:\t 900 kB\nVmRSS:\t 812 kB\n") == 812
    assert rss_kb("Name:\tx\nState:\tZ (zombie)\n") == 0


def test_work_of_the_machine_is_what_is_not_idle() -> None:
    stat = "cpu  1 2 4 1000 2000 8 16 32 0 0\ncpu0 9 9 9 9 9 9 9 9 9 9\n"
    assert machine_cpu_seconds(stat) == 63 / TICKS


def test_usage_adds_processes_up() -> None:
    one = Usage.of([os.getpid()])
    two = Usage.of([os.getpid(), os.getpid()])
    assert one.rss_kb > 1000
    assert two.rss_kb > one.rss_kb
    assert two.cpu_seconds >= 2 * one.cpu_seconds > 0


def test_a_process_that_has_ended_is_an_error() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    with pytest.raises(BenchError, match="ended during the run"):
        Usage.of([pid])


def test_the_machine_is_described() -> None:
    assert slab_kb() > 0
    assert all(machine().values())
