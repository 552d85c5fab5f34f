"""What was started, kept beside it: one JSON file for each process."""

import json
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from scripts.stack.process import Identity

_FILE: Final = "process.json"


@dataclass(frozen=True)
class Record:
    identity: Identity
    version: str
    fingerprint: str
    """Of what it was started with: another one means that it is to be started again."""
    stop_signal: signal.Signals


def read(folder: Path) -> Record | None:
    """None if nothing was started here, or the file is not one of ours."""
    try:
        values = json.loads((folder / _FILE).read_text())
        return Record(
            identity=Identity(**values["identity"]),
            version=values["version"],
            fingerprint=values["fingerprint"],
            stop_signal=signal.Signals(values["stop_signal"]),
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write(folder: Path, record: Record) -> None:
    """All of it or nothing."""
    new = folder / f"{_FILE}.new"
    new.write_text(json.dumps(asdict(record)))
    os.replace(new, folder / _FILE)


def remove(folder: Path) -> None:
    (folder / _FILE).unlink(missing_ok=True)
