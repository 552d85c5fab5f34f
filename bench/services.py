"""The real services that chatd stands on: those of the environment, or the project's own.

They are moved to other cores than the server's while the context lasts, where they are processes
of this machine. What was started is stopped at the end.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self
from urllib.parse import urlsplit

from bench.errors import BenchError
from bench.listening import is_loopback, listening
from bench.trees import Moved

DATABASE: Final = "CHATD_DATABASE_URL"
CASSANDRA: Final = "CHATD_CASSANDRA_HOSTS"
REDIS: Final = "CHATD_REDIS_URL"
QUEUE_REDIS: Final = "CHATD_QUEUE_REDIS_URL"
_NEEDED: Final = (DATABASE, CASSANDRA, REDIS)
_TAKEN: Final = (
    *_NEEDED,
    QUEUE_REDIS,
    "CHATD_CASSANDRA_REPLICATION",
    "CHATD_CASSANDRA_USERNAME",
    "CHATD_CASSANDRA_PASSWORD",
    "CHATD_CASSANDRA_TLS_CA",
)
_SCRIPT: Final = Path(__file__).resolve().parents[1] / "scripts" / "services"
_OWN: Final = ("postgres", "redis", "redis-queue", "cassandra")


class Place(NamedTuple):
    """Where a service listens."""

    service: str
    """As in the names of the figures: `postgresql`, `cassandra`, `redis` or `queue_redis`."""
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.service} at {self.host}:{self.port}"


class Services:
    """See the module."""

    def __init__(self, environment: Mapping[str, str], cores: Sequence[int] | None) -> None:
        """
        Args:
            environment: where CHATD_DATABASE_URL and the others are looked for.
            cores: where the services are to run; None: where they do.

        Raises:
            BenchError: some of these variables are there, but not all that are needed.
        """
        self.settings = {name: environment[name] for name in _TAKEN if environment.get(name)}
        """Variables of the services, as chatd reads them. Those of the project's own are there
        within the context."""
        self.origin = "of the environment"
        self.pids: dict[str, list[int]] = {}
        """By service, its processes without their children; none of those that are unknown."""
        self.notes: list[str] = []
        """What the user should know of where they run."""
        self._cores = cores
        self._stack = ExitStack()
        missing = [name for name in _NEEDED if name not in self.settings]
        if self.settings and missing:
            raise BenchError(
                f"the environment names some backends and not all: set {', '.join(missing)} too,"
                " or none for the project's own"
            )

    def __enter__(self) -> Self:
        """
        Raises:
            BenchError: the project's own cannot be started.
        """
        with ExitStack() as stack:
            if not self.settings:
                self.settings = _started(stack)
                self.origin = "of scripts/services"
            self._find()
            if self._cores is not None:
                self._move(self._cores, stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _find(self) -> None:
        for place in places(self.settings):
            found = listening(place.port) if is_loopback(place.host) else []
            if found:
                self.pids.setdefault(place.service, []).extend(found)
            else:
                self.notes.append(
                    f"{place} is no process of this machine that can be seen: it runs on any core,"
                    " and its CPU is in that of everything else"
                )

    def _move(self, cores: Sequence[int], stack: ExitStack) -> None:
        for service, pids in self.pids.items():
            try:
                stack.enter_context(Moved(pids, cores))
            except OSError as error:
                self.notes.append(
                    f"{service} could not be moved to core {', '.join(map(str, cores))}"
                    f" ({error.strerror}): it runs on any, the server's too"
                )


def places(settings: Mapping[str, str]) -> list[Place]:
    """Where these services listen; each place once.

    Raises:
        BenchError: a variable names none.
    """
    found = [_of_url("postgresql", settings[DATABASE], 5432)]
    for endpoint in settings[CASSANDRA].split(","):
        found.append(_of_url("cassandra", f"//{endpoint.strip()}", 9042))
    found.append(_of_url("redis", settings[REDIS], 6379))
    queue = _of_url("queue_redis", settings.get(QUEUE_REDIS) or settings[REDIS], 6379)
    if queue[1:] != found[-1][1:]:
        found.append(queue)
    return found


def _of_url(service: str, url: str, port: int) -> Place:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or port
    except ValueError:
        host = ""
    if not host:
        raise BenchError(f"{service}: the environment names no host and port of it")
    return Place(service, host, port)


def _started(stack: ExitStack) -> dict[str, str]:
    """Have the project's own run; their variables. `stack` stops those that did not run."""
    was = _script("status", "--json", *_OWN, may_fail=True)
    # One that is not ready somebody else is just starting, or it is too busy to answer.
    off = [one["name"] for one in was["services"] if one["state"] == "down"]
    if off:
        stack.callback(subprocess.run, [sys.executable, str(_SCRIPT), "down", *off], check=False)
    environment: dict[str, str] = _script("up", "--json", *_OWN)["environment"]
    return environment


def _script(*arguments: str, may_fail: bool = False) -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, str(_SCRIPT), *arguments], capture_output=True, text=True, check=False
    )
    try:
        if run.returncode and not may_fail:
            raise ValueError
        answer: dict[str, Any] = json.loads(run.stdout)
        return answer
    except ValueError:
        lines = run.stderr.strip().splitlines() or ["it said nothing"]
        raise BenchError(f"the services do not run: {lines[-1]}") from None
