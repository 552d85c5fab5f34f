"""Processes told apart for sure: a number alone may be another process by now.

A process is known by its number, the moment it started and the boot of the machine; signals go
through a pidfd that was compared with all three, so they never reach a successor.
"""

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_STATE_FIELD: Final = 0
_START_FIELD: Final = 19
_ENDED_STATES: Final = "ZX"


@dataclass(frozen=True)
class Identity:
    pid: int
    started: int
    """Clock ticks after the boot."""
    boot: str


def identity_of(pid: int) -> Identity | None:
    """None if there is no such process, or only its exit code is left."""
    try:
        state, started = parse_stat((_PROC / str(pid) / "stat").read_text(errors="replace"))
    except OSError:
        return None
    return None if state in _ENDED_STATES else Identity(pid, started, _boot())


def parse_stat(text: str) -> tuple[str, int]:
    """State and start of a process, from its `stat`; its name may hold blanks and parentheses."""
    fields = text.rpartition(")")[2].split()
    return fields[_STATE_FIELD], int(fields[_START_FIELD])


def is_alive(identity: Identity) -> bool:
    return identity_of(identity.pid) == identity


def send(identity: Identity, number: signal.Signals) -> bool:
    """Signal it; False if it has ended."""
    with _handle(identity) as handle:
        if handle is None:
            return False
        try:
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        return True


def wait_for_end(identity: Identity, seconds: float) -> bool:
    """Whether it has ended, now or within this time."""
    with _handle(identity) as handle:
        if handle is None:
            return True
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(seconds * 1000))


def in_folder(folder: Path, program: str) -> list[Identity]:
    """The processes of this program whose working folder this is."""
    folder = folder.resolve()
    found = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        identity = identity_of(int(entry.name))
        try:
            if (entry / "cwd").readlink() != folder:
                continue
            name = (entry / "exe").readlink().name
        except OSError:
            continue
        if identity is not None and name == program and is_alive(identity):
            found.append(identity)
    return found


@contextmanager
def _handle(identity: Identity) -> Iterator[int | None]:
    """A pidfd of exactly this process; None if it has ended."""
    try:
        handle = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield handle if is_alive(identity) else None
    finally:
        os.close(handle)


def _boot() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
