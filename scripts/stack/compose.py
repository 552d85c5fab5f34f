"""The way round: services that cannot be had here, from images, where a Docker engine runs."""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from scripts.stack.errors import ServiceError
from scripts.stack.settings import Settings, port_variable
from scripts.stack.tool import run

FILE: Final = Path(__file__).resolve().parents[1] / "compose.services.yml"
NAMES: Final = ("postgres", "redis", "redis-queue", "cassandra", "kafka", "toxiproxy")
"""What the file has: the others need addresses or certificates that an image does not know."""
VERSION: Final = "docker"
_RECORD: Final = "docker.json"


def has_engine() -> bool:
    if shutil.which("docker") is None:
        return False
    try:
        run(["docker", "info"])
        run(["docker", "compose", "version"])
    except ServiceError:
        return False
    return True


def started(settings: Settings) -> tuple[str, ...]:
    """The names that were started this way and not stopped since."""
    try:
        values = json.loads((settings.folder / _RECORD).read_text())
    except (OSError, ValueError):
        return ()
    return tuple(name for name in NAMES if name in values)


def up(settings: Settings, names: Sequence[str]) -> None:
    """Start these and wait until they are healthy. Raises ServiceError."""
    _remember(settings, {*started(settings), *names})
    _compose(settings, "up", "--detach", "--wait", *names)


def down(settings: Settings, names: Sequence[str]) -> None:
    """Stop these and remove them with their data. Raises ServiceError."""
    _compose(settings, "rm", "--stop", "--force", "-v", *names)
    _remember(settings, set(started(settings)) - set(names))


def project(settings: Settings) -> str:
    """One for each folder: two checkouts stop each other's containers no more than processes."""
    return f"chatd-services-{hashlib.sha256(str(settings.folder).encode()).hexdigest()[:12]}"


def _compose(settings: Settings, *arguments: str) -> None:
    ports = {port_variable(name): str(port) for name, port in settings.ports.items()}
    command = ["docker", "compose", "-p", project(settings), "-f", str(FILE), *arguments]
    run(command, environment=ports)


def _remember(settings: Settings, names: set[str]) -> None:
    settings.folder.mkdir(parents=True, exist_ok=True)
    new = settings.folder / f"{_RECORD}.new"
    new.write_text(json.dumps(sorted(names)))
    os.replace(new, settings.folder / _RECORD)
