"""HAProxy with the project's own configuration, on ports of the test, in front of its servers."""

import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from tests.deploy.dockerfile import ROOT
from tests.deploy.programs import from_debian
from tests.support.node import free_ports

FILE: Final = ROOT / "deploy" / "haproxy.cfg"
START_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.02
_BIND: Final = re.compile(r"^    bind (\S*):(\d+)(?: name (\w+))?$", re.MULTILINE)
_BACKEND: Final = re.compile(r"^backend (\w+)\n((?:    .*\n)+)", re.MULTILINE)
_SERVER: Final = re.compile(r"^    server (\w+) (\w+):(\d+)$", re.MULTILINE)
_CHECK_PORT: Final = re.compile(r"(default-server check) port (\d+)")
_CONNECTIONS: Final = re.compile(r"maxconn \d+")


class Door(NamedTuple):
    """Where clients come in; the backend of its name serves it."""

    host: str
    port: int


class Server(NamedTuple):
    name: str
    host: str
    port: int


class Place(NamedTuple):
    """Where a server of the configuration is in the test."""

    port: int
    check_port: int


class Configuration:
    def __init__(self, text: str) -> None:
        self.text = text
        found = _CHECK_PORT.search(text)
        assert found is not None
        self.check_port = int(found[2])
        binds = _BIND.findall(text)
        self.doors = {name: Door(host, int(port)) for host, port, name in binds if name}
        (self.health,) = (Door(host, int(port)) for host, port, name in binds if not name)
        self.backends = {
            name: [Server(own, host, int(port)) for own, host, port in _SERVER.findall(lines)]
            for name, lines in _BACKEND.findall(text)
        }

    def rendered(
        self, doors: Mapping[str, int], health: int, places: Mapping[tuple[str, str], Place]
    ) -> str:
        """The same with other addresses, and for fewer connections; nothing else is changed.
        `places` are by backend and server."""

        def bind(found: re.Match[str]) -> str:
            name = found[3]
            port = doors[name] if name else health
            return f"    bind 127.0.0.1:{port}" + (f" name {name}" if name else "")

        def backend(found: re.Match[str]) -> str:
            def server(line: re.Match[str]) -> str:
                place = places[found[1], line[1]]
                return f"    server {line[1]} 127.0.0.1:{place.port} port {place.check_port}"

            return _SERVER.sub(server, found[0])

        text = _BACKEND.sub(backend, _BIND.sub(bind, self.text))
        return _CONNECTIONS.sub("maxconn 1000", _CHECK_PORT.sub(r"\1", text))


def read() -> Configuration:
    return Configuration(FILE.read_text())


class Proxy:
    """For `with`: started on entering, and killed on leaving."""

    def __init__(self, folder: Path, places: Mapping[tuple[str, str], Place]) -> None:
        self._program = from_debian("haproxy", "haproxy")
        http, chat, presence, self._health_port = free_ports(4)
        self._doors = {"http": http, "chat": chat, "presence": presence}
        self._file = folder / "haproxy.cfg"
        self._file.write_text(read().rendered(self._doors, self._health_port, places))
        self._log_file = folder / "haproxy.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [self._program, "-db", "-f", self._file], stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS
        while self.health() is None:
            assert self._process.poll() is None and time.monotonic() < deadline, self.log
            time.sleep(_POLL_SECONDS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def port(self, door: str) -> int:
        return self._doors[door]

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self._doors['http']}"

    def url(self, door: str) -> str:
        """Of a WebSocket."""
        return f"ws://127.0.0.1:{self._doors[door]}/"

    @property
    def log(self) -> str:
        return self._log_file.read_text(errors="backslashreplace")

    def health(self) -> int | None:
        """What the check of the proxy's container would see; None: no answer."""
        return status(f"http://127.0.0.1:{self._health_port}/")


def status(url: str, headers: Mapping[str, str] | None = None) -> int | None:
    """The status of a GET, None without an answer."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=dict(headers or {})), timeout=10
        ) as response:
            code: int = response.status
            return code
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return None
