"""What a server's memory does during a run, looked at each second."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from bench.errors import BenchError
from bench.measure import Usage

_INTERVAL_SECONDS: Final = 1.0
_TABLE_EVERY: Final = 5
"""Looks at the kernel's table of connections, which costs some milliseconds."""
_TCP_TABLE: Final = Path("/proc/net/tcp")
_LOCAL: Final = 1
_REMOTE: Final = 2
_QUEUES: Final = 4
"""Columns of that table."""


class Sample(NamedTuple):
    seconds: float
    """Since the beginning."""
    rss_kb: int


class MemoryWatch:
    """In a thread, from entering the context to leaving it."""

    def __init__(self, pids: Sequence[int], port: int | None = None) -> None:
        """
        Args:
            port: where the server's connections end, for what waits in the kernel; None if that is
                not to be looked at.
        """
        self.samples: list[Sample] = []
        self.most_unread_bytes = 0
        """What the kernel kept of all connections because nobody had read it, at most."""
        self._pids = pids
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory")
        self._began = 0.0

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        looks = 0
        while True:
            try:
                usage = Usage.of(self._pids)
            except BenchError:  # whoever waits for the run will say so
                return
            self.samples.append(Sample(time.monotonic() - self._began, usage.rss_kb))
            if self._port is not None and looks % _TABLE_EVERY == 0:
                unread = unread_bytes(_TCP_TABLE.read_text(), self._port)
                self.most_unread_bytes = max(self.most_unread_bytes, unread)
            looks += 1
            if self._stop.wait(_INTERVAL_SECONDS):
                return


def unread_bytes(table: str, port: int) -> int:
    """What was sent from this port and is read by nobody yet, at both ends; of the text of
    /proc/net/tcp."""
    wanted = f":{port:04X}"
    total = 0
    for line in table.splitlines()[1:]:
        columns = line.split()
        unsent, _, unread = columns[_QUEUES].partition(":")
        if columns[_LOCAL].endswith(wanted) and not columns[_REMOTE].endswith(":0000"):
            total += int(unsent, 16)
        elif columns[_REMOTE].endswith(wanted):
            total += int(unread, 16)
    return total


def peak_kb(samples: Sequence[Sample]) -> int:
    return max(sample.rss_kb for sample in samples)


def slope_kb_a_second(samples: Sequence[Sample]) -> float:
    """Of the line that fits the samples best; 0 for fewer than two."""
    if len(samples) < 2:
        return 0.0
    middle = sum(sample.seconds for sample in samples) / len(samples)
    spread = sum((sample.seconds - middle) ** 2 for sample in samples)
    return sum((sample.seconds - middle) * sample.rss_kb for sample in samples) / spread


def second_half(samples: Sequence[Sample]) -> list[Sample]:
    end = samples[-1].seconds
    return [sample for sample in samples if sample.seconds >= end / 2]
