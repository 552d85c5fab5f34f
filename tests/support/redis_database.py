"""A database of Redis that no other test has, in this process or another."""

import fcntl
import functools
import os
import tempfile
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

_NUMBERS: Final = range(15, 0, -1)
"""0 is that of tests that need no other."""
_locks: Final[list[IO[bytes]]] = []


def take_database() -> tuple[int, IO[bytes]]:
    """The number of a database, and what to close when it may be others' again."""
    for number in _NUMBERS:
        lock = Path(tempfile.gettempdir(), f"chatd-tests-redis-{os.getuid()}-{number}").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        return number, lock
    raise AssertionError("every database of Redis is in use by a test")


@functools.cache
def database_number() -> int:
    """The number of a database that is this process's until its end."""
    number, lock = take_database()
    _locks.append(lock)
    return number


def own_database(url: str) -> str:
    """The URL of a server, with that database."""
    return urlsplit(url)._replace(path=f"/{database_number()}").geturl()
