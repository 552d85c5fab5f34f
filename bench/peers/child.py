"""What peers share that are a child process: started on entering the context, stopped whatever
happens."""

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.processes import HOST, ChildServer


class ChildPeer(ABC):
    def __init__(self, folder: Path, core: int | None) -> None:
        self._folder = folder
        self._core = core
        self._server: ChildServer | None = None
        self._port = 0
        """Where the load connects to."""

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
        return self.server.pids

    @property
    def address(self) -> tuple[str, int]:
        return HOST, self._port

    @property
    def server(self) -> ChildServer:
        assert self._server is not None
        return self._server

    def check(self) -> None:
        self.server.check()

    @abstractmethod
    def _start(self) -> None:
        """Start `_server`, which listens on `_port`, and wait until it accepts connections.

        Raises:
            BenchError: it cannot be run on this machine, or does not start.
        """

    def _stop(self) -> None:
        if self._server is not None:
            self._server.stop()
