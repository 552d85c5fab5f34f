"""A program that is run to its end: what it printed, or one line on why it failed."""

import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from scripts.stack.errors import ServiceError

_MAX_SHOWN: Final = 300
_TELLING: Final = ("error", "[error", "fatal", "e:")
"""How the lines begin that say what is wrong, in small letters."""


def run(
    command: Sequence[str],
    *,
    user: str | None = None,
    text: str = "",
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> str:
    """Its output, both kinds together.

    `user` is whom it runs as (needs root), `text` its standard input, `environment` is added to
    ours.

    Raises:
        ServiceError: it cannot be executed, or its exit code is not 0.
    """
    try:
        result = subprocess.run(
            command,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            cwd=folder,
            env=os.environ | dict(environment or {}),
            user=user,
            group=None if user is None else pwd.getpwnam(user).pw_gid,
            extra_groups=None if user is None else [],
        )
    except OSError as error:
        raise ServiceError(f"{command[0]} cannot be run: {error}") from None
    if result.returncode != 0:
        raise ServiceError(
            f"{Path(command[0]).name} failed with code {result.returncode}:"
            f" {telling_line(result.stdout)}"
        )
    return result.stdout


def telling_line(output: str) -> str:
    """The first line that speaks of an error, or the last one."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if line.lower().startswith(_TELLING)]
    return (telling or lines[-1:] or ["it said nothing"])[0][:_MAX_SHOWN]
