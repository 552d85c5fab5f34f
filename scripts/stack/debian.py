"""Debian packages: installed if this may be done here, and never started by their own scripts."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from scripts.stack.errors import ServiceError, Unavailable
from scripts.stack.progress import say
from scripts.stack.tool import run

_POLICY: Final = Path("/usr/sbin/policy-rc.d")
_INSTALL: Final = ("apt-get", "install", "-y", "--no-install-recommends")
_QUIET: Final = {"DEBIAN_FRONTEND": "noninteractive"}


def can_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(packages: Sequence[str]) -> None:
    """Install them all at once.

    Raises:
        ServiceError: apt-get did not do it.
    """
    say("packages", f"installs {' '.join(packages)}")
    with _nothing_started():
        try:
            run([*_INSTALL, *packages], environment=_QUIET)
        except ServiceError:
            # The lists may be missing or tell of versions that are gone.
            run(["apt-get", "update"], environment=_QUIET)
            run([*_INSTALL, *packages], environment=_QUIET)


def require(packages: Sequence[str]) -> None:
    """Raises Unavailable: some are missing; says how to get them."""
    if packages:
        raise Unavailable(f"is not installed; on Debian, apt-get install {' '.join(packages)}")


@contextmanager
def _nothing_started() -> Iterator[None]:
    """Packages of servers start them on their standard ports, unless the local policy forbids."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
