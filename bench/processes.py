"""A server as a child process: on its own core, with its own log, and stopped whatever happens."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.errors import BenchError

HOST: Final = "127.0.0.1"
_START_SECONDS: Final = 30
_STOP_SECONDS: Final = 20
_POLL_SECONDS: Final = 0.02
_MAX_SHOWN: Final = 300


class ChildServer:
    """Ctrl-C in the terminal does not reach it: only `stop` ends it."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        core: int | None,
    ) -> None:
        """Start it.

        Raises:
            BenchError: it cannot be executed.
        """
        self.name = name
        self._log = log
        with log.open("ab") as output, pinned(core):
            try:
                self._process = subprocess.Popen(
                    command,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise BenchError(f"{name} cannot be started: {error}") from None

    @property
    def pids(self) -> list[int]:
        return [self._process.pid]

    def wait_until(
        self,
        is_so: Callable[[], bool],
        otherwise: str = "is not ready",
        *,
        poll_seconds: float = _POLL_SECONDS,
    ) -> None:
        """Wait for it.

        Args:
            otherwise: what the server is told to be if it is not so in time.
            poll_seconds: how often it is looked at.

        Raises:
            BenchError: it has ended, or it is not so in time; with the last line of its log.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not is_so():
            self.check()
            if time.monotonic() > deadline:
                raise BenchError(
                    f"{self.name} {otherwise} after {_START_SECONDS} s: {self._last_words()}"
                )
            time.sleep(poll_seconds)

    def check(self) -> None:
        """Raises BenchError: it has ended; with the last line of its log."""
        if self._process.poll() is not None:
            code = self._process.returncode
            raise BenchError(f"{self.name} ended with code {code}: {self._last_words()}")

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if that takes too long."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                pass
            finally:
                self._process.kill()
                self._process.wait()

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:_MAX_SHOWN] if lines else "it said nothing"


@contextmanager
def pinned(*cores: int | None) -> Iterator[None]:
    """This thread runs on these cores, and what it starts inside; None is no core."""
    before = os.sched_getaffinity(0)
    if there := {core for core in cores if core is not None}:
        os.sched_setaffinity(0, there)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def accepts(port: int) -> bool:
    """Whether something listens on the port."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
