"""Three nodes of Cassandra, which a test may kill.

    with ThreeCassandras() as cluster:
        cluster.hosts            # host:port, comma separated
        cluster.kill(0)          # -9, the first of them
        cluster.revive()         # those that were killed; returns when all three answer

For `with`: started on entering, if they do not run, and then stopped on leaving: they are heavy.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.support.services import service

_NAME: Final = "cassandra3"
_NOT_UP: Final = 1
_SECONDS: Final = 60.0
_SCRIPT: Final = Path(__file__).parents[2] / "scripts" / "services"


class ThreeCassandras:
    """See the module."""

    def __init__(self) -> None:
        self.hosts = ""
        self._was_up = False
        self._pids: list[int] = []
        """Of all three, as of when they were last up together."""

    def __enter__(self) -> Self:
        self._was_up = self._report()["state"] == "up"
        try:
            _up()
            self.hosts = service(_NAME)["CHATD_CASSANDRA_HOSTS"]
            self._pids = self._report()["pids"]
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._leave()

    def kill(self, number: int) -> None:
        """One of them, by its place among the hosts."""
        os.kill(self._pids[number], signal.SIGKILL)

    def revive(self) -> None:
        done = _up()
        assert done.returncode == 0, done.stderr
        self._pids = self._report()["pids"]

    def _report(self) -> dict[str, Any]:
        (report,) = json.loads(_services("status", _NAME, "--json").stdout)["services"]
        found: dict[str, Any] = report
        return found

    def _leave(self) -> None:
        if not self._was_up:
            _services("down", _NAME)


def _up() -> subprocess.CompletedProcess[str]:
    """Until they are ready all at the same time: those who have just come take others for dead for
    a while."""
    deadline = time.monotonic() + _SECONDS
    while True:
        done = _services("up", _NAME)
        if done.returncode != _NOT_UP or time.monotonic() > deadline:
            return done


def _services(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(_SCRIPT), *arguments], capture_output=True, text=True, check=False
    )
