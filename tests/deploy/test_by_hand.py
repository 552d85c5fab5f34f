"""docker-compose.yml by hand: the commands and settings of its services as processes of this
machine, on real stores, behind the proxy with its own configuration."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from protocol.pushes import OneToOneChat
from testclients import http
from testclients.client import ChatClient
from tests.deploy import haproxy, stack
from tests.deploy.dockerfile import ROOT
from tests.deploy.haproxy import Place, Proxy, status
from tests.deploy.test_health import check
from tests.support.backends import Backends
from tests.support.loop import run
from tests.support.node import free_ports

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 20.0
PASSWORD: Final = "correct horse battery"
SERVICES: Final = stack.of_chatd()
_POLL_SECONDS: Final = 0.1
# Where the containers have a host of their own, the processes have ports.
_PORTS: Final = ("http_port", "chat_port", "presence_port", "own_http_port")

pytestmark = pytest.mark.slow


class Container:
    """A service of the file as a process."""

    def __init__(self, name: str, backends: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self._command = SERVICES[name]["command"]
        given = {
            variable.removeprefix("CHATD_").lower(): value
            for variable, value in stack.settings(SERVICES[name]).items()
        }
        unknown = given.keys() - backends.keys()
        self.settings = {setting: given[setting] for setting in unknown} | dict(backends)
        self.settings |= {"kafka_brokers": "", "data_dir": str(folder / "none")}
        for setting, port in zip(_PORTS, free_ports(len(_PORTS)), strict=True):
            if setting != "own_http_port" or setting in given:
                self.settings[setting] = str(port)
        self._log_file = folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return f"{self.name}:\n{self._log_file.read_text(errors='backslashreplace')}"

    def port(self, setting: str) -> int:
        return int(self.settings[setting])

    @property
    def health_port(self) -> int:
        return self.port("own_http_port" if "own_http_port" in self.settings else "http_port")

    def start(self) -> None:
        inherited = {name: text for name, text in os.environ.items() if name[:6] != "CHATD_"}
        settings = {f"CHATD_{name.upper()}": text for name, text in self.settings.items()}
        with self._log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "chatd", *self._command],
                cwd=ROOT,
                env=inherited | settings,
                stdout=log,
                stderr=log,
            )

    def wait_until_healthy(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        while (said := check(self.process.pid, self.settings)).returncode:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, said.stderr + self.log
            time.sleep(_POLL_SECONDS)

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def containers(folder: Path) -> Iterator[dict[str, Container]]:
    """All services of chatd, started in the order of the file: the migration first and alone."""
    with Backends(migrated=False) as backends, contextlib.ExitStack() as stack:
        made = {name: Container(name, backends.settings, folder) for name in SERVICES}
        for container in made.values():
            stack.callback(container.kill)
        made["migrate"].start()
        assert made["migrate"].wait() == 0, made["migrate"].log
        others = [container for name, container in made.items() if name != "migrate"]
        for container in others:
            container.start()
        for container in others:
            container.wait_until_healthy()
        yield made


def places(made: Mapping[str, Container]) -> dict[tuple[str, str], Place]:
    return {
        (role, server.name): Place(
            made[server.host].port(f"{role}_port"), made[server.host].health_port
        )
        for role, servers in haproxy.read().backends.items()
        for server in servers
    }


def connections(container: Container) -> int:
    """How many are open there, by its metrics."""
    url = f"http://127.0.0.1:{container.health_port}/metrics"
    with urllib.request.urlopen(url, timeout=10) as response:
        lines = response.read().decode().splitlines()
    (line,) = [line for line in lines if line.startswith("chatd_connections ")]
    return int(line.split()[1])


def test_users_of_different_nodes_talk_and_everything_ends_well(tmp_path: Path) -> None:
    async def talk(made: Mapping[str, Container], proxy: Proxy) -> None:
        alice, bob = [
            await http.register(proxy.http_url, name, PASSWORD) for name in ("alice", "bob")
        ]
        async with (
            ChatClient.connect(proxy.url("chat"), alice.token) as here,
            ChatClient.connect(proxy.url("chat"), bob.token) as there,
            ChatClient.connect(proxy.url("presence"), bob.token),
        ):
            for name in ("chatd1", "chatd2", "presence"):
                assert await asyncio.to_thread(connections, made[name]) == 1, name
            await here.send_direct("bob", "from one node to the other")
            assert (await there.next_push(OneToOneChat)).content == "from one node to the other"
            await there.send_direct("alice", "and back")
            assert (await here.next_push(OneToOneChat)).content == "and back"

    with containers(tmp_path) as made:
        with Proxy(tmp_path, places(made)) as proxy:
            assert proxy.health() == 200
            assert status(f"{proxy.http_url}/readyz") == 200
            run(talk(made, proxy))
        for name, container in made.items():
            assert container.process is not None
            if name != "migrate":
                container.process.terminate()
        for container in made.values():
            assert container.wait() == 0, container.log
        assert not (tmp_path / "none").exists(), "a node writes nothing"
