"""A service that the tests make themselves: a Python process that listens, and answers nothing."""

import socket
import sys
from pathlib import Path
from typing import ClassVar

from scripts.stack.service import Instance, Launch, Service
from scripts.stack.settings import HOST, Settings

LISTENS = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    server.accept()[0].close()
"""
FAILS = "import sys; sys.exit('there is no reason')"


class Listener(Service):
    patience_seconds: ClassVar[float] = 30

    def __init__(self, folder: Path, port: int, code: str = LISTENS) -> None:
        super().__init__("listener", Settings(folder, folder / "cache", {"listener": port}))
        self.code = code
        self.prepared = 0

    def missing_packages(self) -> list[str]:
        return []

    def install(self) -> None:
        return

    def version(self) -> str:
        return "1"

    def launch(self, instance: Instance) -> Launch:
        return Launch(
            command=(sys.executable, "-c", self.code, instance.host, str(instance.port)),
            home=self.folder,
            working_folder=self.folder,
            files={"secret": "word"},
        )

    def prepare(self, instance: Instance, launch: Launch) -> None:
        self.prepared += 1

    def is_ready(self, instance: Instance) -> bool:
        try:
            socket.create_connection((instance.host, instance.port), timeout=5).close()
        except OSError:
            return False
        return True

    def variables(self) -> dict[str, str]:
        return {"SERVICES_LISTENER": f"{HOST}:{self.port}"}


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as one:
        one.bind((HOST, 0))
        port: int = one.getsockname()[1]
        return port
