"""The real services that tests need, started once by the project's own scripts.

What cannot be had is a skip that says why, and with CI=true a failure.
"""

import asyncio
import functools
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Final

import asyncpg
import pytest

_ROOT: Final = Path(__file__).parents[2]
_CANNOT_BE_HAD: Final = 3
_started: set[str] = set()
_databases: list[tuple[str, str]] = []


@functools.cache
def service(name: str) -> dict[str, str]:
    """The environment of a service that runs, as `scripts/services up` prints it. What was not
    there before is stopped at the end of the run."""
    was_up = json.loads(_scripts_services("status", name, "--json").stdout)
    run = _scripts_services("up", name, "--json")
    if run.returncode:
        reason = (run.stderr.strip().splitlines() or ["no reason was given"])[-1]
        if run.returncode == _CANNOT_BE_HAD and os.environ.get("CI") != "true":
            pytest.skip(f"{name} cannot be had here: {reason}")
        pytest.fail(f"{name} did not start: {reason}")
    if any(one["state"] != "up" for one in was_up["services"]):
        _started.add(name)
    environment: dict[str, str] = json.loads(run.stdout)["environment"]
    return environment


@functools.cache
def postgres_database() -> str:
    """The URL of a new, empty database, dropped at the end of the run."""
    server = service("postgres")["CHATD_DATABASE_URL"]
    name = f"test_{uuid.uuid4().hex}"
    asyncio.run(_on_postgres(server, f"CREATE DATABASE {name}"))
    _databases.append((server, name))
    return f"{server.rpartition('/')[0]}/{name}"


async def _on_postgres(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def stop_services() -> None:
    """Drop what was made in the services, and stop those that `service` started."""
    for server, name in _databases:
        asyncio.run(_on_postgres(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
    if _started:
        _scripts_services("down", *sorted(_started))


def _scripts_services(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(_ROOT / "scripts" / "services"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
