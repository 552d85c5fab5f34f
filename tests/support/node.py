"""A chatd daemon as a child process, and its commands.

A node keeps its data folder, its ports and its log through `stop`, `kill` and the next `start`.
No process outlives the test run.
"""

import atexit
import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final, Self

from chatd.auth import Tokens
from chatd.ids import new_device_id

if TYPE_CHECKING:
    from tests.support.backends import Backends

ROOT: Final = Path(__file__).parents[2]
START_SECONDS: Final = 20.0
STOP_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.01
# Below those of outgoing connections, one of which might have taken ours by the restart.
_PORTS: Final = range(12_000, 32_000)

_running: Final[set[subprocess.Popen[bytes]]] = set()


class NotStarted(Exception):
    """The daemon ended, or did not answer in time; the message is its log."""


class Node:
    """For `with`: starts on entering, is killed on leaving if it still runs."""

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, str] | None = None,
        backends: "Backends | None" = None,
        roles: Sequence[str] = (),
        workers: int = 1,
        demo: bool = False,
        code: Path = ROOT,
    ) -> None:
        """`folder` gets the data folder and the log; `settings` are by name, without CHATD_. What
        runs is the chatd package in the folder `code`, embedded or on the backends, with these
        roles or all, and as one process or a supervisor of several."""
        self.data_dir = folder / "data"
        self._log_file = folder / "log"
        self._output_file = folder / "output"
        *ports, own_http_port = free_ports(4)
        self._http_port, self._chat_port, self._presence_port = ports
        self._settings = {
            "data_dir": str(self.data_dir),
            "http_port": str(self._http_port),
            "chat_port": str(self._chat_port),
            "presence_port": str(self._presence_port),
            "bcrypt_cost": "4",
            "rate_limits": "off",
        }
        if backends is not None:
            self._settings |= backends.settings
        if roles and "http" not in roles:
            # For what every test needs to know: whether it is healthy.
            self._http_port = own_http_port
            self._settings["own_http_port"] = str(own_http_port)
        self._settings |= dict(settings or {})
        self._arguments = [
            "serve",
            *(["--role", ",".join(roles)] if roles else []),
            *(["--workers", str(workers)] if workers > 1 else []),
            *(["--demo"] if demo else []),
        ]
        self._workers = workers
        self._code = code
        self._began = 0
        """Where the log of the process begins."""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self.kill()

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self._http_port}"

    @property
    def chat_url(self) -> str:
        return f"ws://127.0.0.1:{self._chat_port}/"

    @property
    def presence_url(self) -> str:
        return f"ws://127.0.0.1:{self._presence_port}/"

    @property
    def http_port(self) -> int:
        return self._http_port

    @property
    def chat_port(self) -> int:
        return self._chat_port

    @property
    def presence_port(self) -> int:
        return self._presence_port

    @property
    def pid(self) -> int:
        assert self._process is not None, "the node does not run"
        return self._process.pid

    @property
    def settings(self) -> dict[str, str]:
        """What the daemon is started with, by name, without CHATD_."""
        return dict(self._settings)

    @property
    def log(self) -> str:
        """All that its processes wrote to standard error."""
        return self._log_file.read_text(errors="backslashreplace")

    @property
    def output(self) -> str:
        """All that its processes wrote to standard output."""
        return self._output_file.read_text(errors="backslashreplace")

    @property
    def complaints(self) -> list[str]:
        """Lines of the log that tell of a bug: errors, and what did not come by the logger."""
        return [line for line in self.log.splitlines() if _is_complaint(line)]

    def start(self) -> None:
        """Start, and wait until every part accepts connections.

        Raises:
            NotStarted
        """
        process = self.begin()
        deadline = time.monotonic() + START_SECONDS
        while not self._is_healthy():
            if process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise NotStarted(self.log)
            time.sleep(_POLL_SECONDS)

    def begin(self) -> "subprocess.Popen[bytes]":
        """Start, and do not wait."""
        assert self._process is None, "the node runs"
        with self._output_file.open("ab") as output, self._log_file.open("ab") as log:
            self._began = len(self.log)
            self._process = _spawn(self._arguments, self._settings, self._code, output, log)
        return self._process

    def terminate(self) -> None:
        """Send SIGTERM, and do not wait."""
        os.kill(self.pid, signal.SIGTERM)

    def wait(self) -> int:
        """Wait for the end of the process; its exit code, negative for a signal."""
        assert self._process is not None, "the node does not run"
        process, self._process = self._process, None
        try:
            return process.wait(STOP_SECONDS)
        finally:
            _reap(process)

    def stop(self) -> int:
        """SIGTERM and wait; the exit code."""
        self.terminate()
        return self.wait()

    def kill(self) -> None:
        """SIGKILL: as if the power had failed, for the process."""
        assert self._process is not None, "the node does not run"
        process, self._process = self._process, None
        _reap(process)

    def token(self, username: str, *, seconds: int = 3600) -> str:
        """A token of the node's own making, for a device that never logged in."""
        secret = self._settings.get("jwt_secret", "").encode()
        secret = secret or (self.data_dir / "jwt-secret").read_bytes().strip()
        return Tokens(secret).sign(
            username, new_device_id(), time.time_ns() // 1_000_000, lifetime=seconds
        )

    def metric(self, name: str) -> int:
        """A counter or gauge of `/metrics` by its full name."""
        for line in self.get("/metrics")[1].decode().splitlines():
            found, _, value = line.partition(" ")
            if found == name:
                return int(value)
        raise LookupError(name)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Status and body of a GET, on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self._http_port, timeout=10)
        try:
            connection.request("GET", path, headers=dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _is_healthy(self) -> bool:
        if self._workers > 1 and "workers are ready" not in self.log[self._began :]:
            return False
        try:
            return self.get("/health")[0] == 200
        except (OSError, http.client.HTTPException):
            return False


def command(
    arguments: Sequence[str],
    settings: Mapping[str, str],
    *,
    seconds: float = 20.0,
    program: Sequence[str] = ("-m", "chatd"),
) -> "subprocess.CompletedProcess[str]":
    """Run `chatd` with arguments and settings by name; none of the caller's CHATD_ variables.
    `program` is what Python is to run instead."""
    return subprocess.run(
        [sys.executable, *program, *arguments],
        cwd=ROOT,
        env=_environment(settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.choice(_PORTS)
        if port not in ports and _is_free(port):
            ports.append(port)
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _spawn(
    arguments: Sequence[str],
    settings: Mapping[str, str],
    code: Path,
    output: IO[bytes],
    log: IO[bytes],
) -> "subprocess.Popen[bytes]":
    # With -m the folder that it is started in is the first to be looked in for chatd.
    process = subprocess.Popen(
        [sys.executable, "-m", "chatd", *arguments],
        cwd=code,
        env=_environment(settings),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=log,
    )
    _running.add(process)
    return process


def children(pid: int) -> dict[int, list[str]]:
    """The processes that a process has started and that run, with their command lines."""
    found: dict[int, list[str]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == pid:
                words = (process / "cmdline").read_bytes().decode().split("\0")
                found[int(process.name)] = words[:-1]
        except OSError:
            continue
    return found


def _reap(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        # A supervisor is stopped first: it would start its workers again.
        process.send_signal(signal.SIGSTOP)
        for worker in children(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        process.kill()
    process.wait()
    _running.discard(process)


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    # Without PYTHONUNBUFFERED either: what a user's shell does not have hides what it would show.
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("CHATD_") and name != "PYTHONUNBUFFERED"
    }
    return inherited | {f"CHATD_{name.upper()}": value for name, value in settings.items()}


def _is_complaint(line: str) -> bool:
    try:
        record: Any = json.loads(line)
    except ValueError:
        return True
    return not isinstance(record, dict) or record.get("level") in ("ERROR", "CRITICAL")


@atexit.register
def _kill_the_rest() -> None:
    for process in tuple(_running):
        _reap(process)
