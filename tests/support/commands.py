"""Commands of chatd that end by themselves, several in one process: most of what one takes is the
start of Python.

    python -m tests.support.commands SECONDS < commands > results

waits so long for backends, once.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from chatd import cli, waiting

_ROOT: Final = Path(__file__).parents[2]
_OUT: Final = (1, 2)
"""The streams of a process that are written."""


class Command(NamedTuple):
    arguments: list[str]
    settings: dict[str, str]
    """By name, without CHATD_."""


class Ended(NamedTuple):
    code: int
    stdout: str
    stderr: str


def run_all(commands: Sequence[Command], *, seconds: float, patience_seconds: float) -> list[Ended]:
    """Run commands one after the other, in `seconds`; each waits `patience_seconds` for backends.

    Raises:
        TimeoutExpired: one has not ended.
    """
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(patience_seconds)],
        cwd=_ROOT,
        input=msgspec.json.encode(commands),
        capture_output=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout, type=list[Ended])


def _run(command: Command) -> Ended:
    _set(command.settings)
    kept = [os.dup(stream) for stream in _OUT]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
        files = (out, error)
        for stream, file in zip(_OUT, files, strict=True):
            os.dup2(file.fileno(), stream)
        try:
            code = cli.main(command.arguments)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for stream, copy in zip(_OUT, kept, strict=True):
                os.dup2(copy, stream)
                os.close(copy)
        for file in files:
            file.seek(0)
        return Ended(code, out.read().decode(), error.read().decode())


def _set(settings: Mapping[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith("CHATD_")]:
        del os.environ[name]
    os.environ.update({f"CHATD_{name.upper()}": value for name, value in settings.items()})


if __name__ == "__main__":
    waiting.SECONDS = float(sys.argv[1])  # type: ignore[misc]
    waiting.PAUSE_SECONDS = waiting.SECONDS  # type: ignore[misc]
    wanted = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Command])
    results = msgspec.json.encode([_run(command) for command in wanted])
    sys.stdout.buffer.write(results)
