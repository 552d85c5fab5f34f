"""Which processes of this machine listen on a port."""

import os
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from bench.trees import processes_now

_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENS: Final = "0A"
_LOCAL: Final = 1
_STATE: Final = 3
_INODE: Final = 9
"""Columns of these tables."""
_PROXY: Final = "docker-proxy"
"""It only passes on: who really listens is in a container."""


def listening(port: int) -> list[int]:
    """The numbers of the processes that do, without children of theirs; only of those that this
    user may look into."""
    inodes: set[str] = set()
    for table in _TABLES:
        with suppress(FileNotFoundError):
            inodes |= inodes_of(table.read_text(), port)
    found = {pid for pid in processes_now() if inodes & _sockets(pid)} if inodes else set()
    processes = processes_now()
    return sorted(
        pid
        for pid in found & processes.keys()
        if processes[pid].parent not in found and _name(pid) != _PROXY
    )


def inodes_of(table: str, port: int) -> set[str]:
    """The sockets that listen on the port, of the text of /proc/net/tcp."""
    rows: Iterable[list[str]] = (line.split() for line in table.splitlines()[1:])
    return {
        row[_INODE]
        for row in rows
        if row[_STATE] == _LISTENS and row[_LOCAL].endswith(f":{port:04X}")
    }


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _sockets(pid: int) -> set[str]:
    """Their inodes; none of a process that has ended or is another user's."""
    found = set()
    with suppress(OSError):
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                kind, _, inode = os.readlink(file).partition(":")
                if kind == "socket":
                    found.add(inode.strip("[]"))
    return found


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""
