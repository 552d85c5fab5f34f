import os

from bench.memory import (
    MemoryWatch,
    Sample,
    peak_kb,
    second_half,
    slope_kb_a_second,
    unread_bytes,
)

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0FA0 00000000:0000 0A 00000000:00000007 00:00000000 00000000  0  0 1 1
   1: 0100007F:0FA0 0100007F:C001 01 00000100:00000009 00:00000000 00000000  0  0 2 1
   2: 0100007F:C001 0100007F:0FA0 01 00000005:00000010 00:00000000 00000000  0  0 3 1
   3: 0100007F:C002 0100007F:0FA1 01 00000077:00000077 00:00000000 00000000  0  0 4 1
"""


def test_what_nobody_reads_is_in_the_queues_of_both_ends() -> None:
    assert unread_bytes(TABLE, 4000) == 0x100 + 0x10
    assert unread_bytes(TABLE, 4002) == 0


def test_the_slope_is_that_of_the_line_that_fits() -> None:
    assert slope_kb_a_second([Sample(0, 100), Sample(2, 300), Sample(4, 500)]) == 100
    assert slope_kb_a_second([Sample(0, 5), Sample(1, 9), Sample(2, 5)]) == 0
    assert slope_kb_a_second([Sample(0, 5)]) == 0


def test_the_second_half_is_one_of_time() -> None:
    samples = [Sample(0, 1), Sample(1, 9), Sample(5, 3), Sample(10, 4)]
    assert second_half(samples) == samples[2:]
    assert peak_kb(samples) == 9


def test_memory_is_looked_at_from_the_beginning() -> None:
    with MemoryWatch([os.getpid()], 1) as watch:
        pass
    assert watch.samples[0].rss_kb > 1000
    assert watch.most_unread_bytes == 0


def test_a_server_that_ends_ends_the_looking() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    with MemoryWatch([pid], 1) as watch:
        pass
    assert watch.samples == []
