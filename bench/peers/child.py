"""What peers share that are child processes: started on entering the context, stopped whatever
happens."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.processes import HOST, ChildServer


class ChildPeer(ABC):
    def __init__(self, folder: Path, core: int | None) -> None:
        """
        Args:
            folder: an empty one of its own, removed after the run.
            core: where it is to run; None for anywhere.
        """
        self._folder = folder
        self._core = core
        self._servers: list[ChildServer] = []
        self._ports: list[int] = []
        """Where the load connects to, of each."""

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._stop()

    @property
    def pids(self) -> list[int]:
        return [pid for server in self._servers for pid in server.pids]

    @property
    def services(self) -> Mapping[str, Sequence[int]]:
        return {}

    @property
    def addresses(self) -> list[tuple[str, int]]:
        return [(HOST, port) for port in self._ports]

    def counters(self) -> dict[str, int]:
        return {}

    def settle(self) -> None:
        self.check()  # one that puts nothing anywhere later

    def check(self) -> None:
        for server in self._servers:
            server.check()

    @abstractmethod
    def _start(self) -> None:
        """Start a server, note it and its port, and wait until it accepts connections.

        Raises:
            BenchError: it cannot be run on this machine, or does not start.
        """

    def _stop(self) -> None:
        for server in self._servers:
            server.stop()
        self._servers.clear()
        self._ports.clear()
