"""Programs of other people that tests run: those that can be had are had."""

import functools
import os
import shutil
import sys
from pathlib import Path

import pytest

from scripts.stack import debian
from scripts.stack.errors import ServiceError


@functools.cache
def from_debian(program: str, package: str) -> str:
    """The path of a program, installed if that may be done here, as `scripts/services` would.

    What cannot be had is a skip that says why, and with CI=true a failure if it could have been.
    """
    if shutil.which(program) is None and debian.can_install():
        try:
            debian.install([package])
        except ServiceError as error:
            if os.environ.get("CI") == "true":
                pytest.fail(f"{package} could not be installed: {error}")
            pytest.skip(f"{package} could not be installed: {error}")
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed; on Debian, apt-get install {package}")
    return found


def from_the_environment(program: str) -> str:
    """The path of a program that `pip install .[dev]` brings where there is one for the machine."""
    found = Path(sys.executable).with_name(program)
    if not found.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{program} is not beside {sys.executable}; pip install .[dev]")
        pytest.skip(f"{program} is not beside {sys.executable}; pip install .[dev]")
    return str(found)
