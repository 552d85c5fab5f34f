"""A PostgreSQL that only one test uses, so that it may be killed.

with OwnPostgres() as postgres:
    url = postgres.url
    postgres.kill()     # with -9, every process of it
    postgres.start()    # on the same data
"""

import json
import os
import shutil
import signal
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.support.node import command, free_ports
from tests.support.services import service

_UP_SECONDS: Final = 120.0
_PROC: Final = Path("/proc")


class OwnPostgres:
    """For `with`: made and started on entering, removed on leaving."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="chatd-own-postgres-"))
        (self._port,) = free_ports(1)
        self._pid = 0
        self.url = ""

    def __enter__(self) -> Self:
        # What keeps PostgreSQL from being had here is said there.
        service("postgres")
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._services("down", "--clean")
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Returns when it answers; nothing happens when it runs."""
        said = self._services("up", "--json")
        self.url = said["environment"]["CHATD_DATABASE_URL"]
        (found,) = said["services"]
        (self._pid,) = found["pids"]

    def kill(self) -> None:
        """As if the power had failed, for the processes."""
        processes = [self._pid, *_children(self._pid)]
        for pid in processes:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                # A session that ended by itself.
                continue

    def _services(self, *arguments: str) -> Any:
        where = ["--dir", str(self._folder), "--port", f"postgres={self._port}"]
        done = command(
            [*arguments, *where, "postgres"],
            {},
            seconds=_UP_SECONDS,
            program=["scripts/services"],
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout or "null")


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for file in _PROC.glob("[0-9]*/stat"):
        try:
            parent = int(file.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            found.append(int(file.parent.name))
    return found
