"""Bugs planted into a copy of the server, to see that the checker finds them.

A fault is a TOML file in `faults/`: what is wrong, the kinds of anomalies of which at least one
must be found, whether it takes a killed server to see it, and exact replacements of text in the
package. Those of `faults_of_nodes/` take two nodes on the real backends, and some trouble.
"""

import shutil
import tomllib
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.checker.anomaly import Kind

FAULTS: Final = Path(__file__).parent / "faults"
FAULTS_OF_NODES: Final = Path(__file__).parent / "faults_of_nodes"
_PARTS: Final = ("chatd", "protocol", "sql", "cassandra")


class Replacement(NamedTuple):
    file: str
    old: str
    new: str


class Fault(NamedTuple):
    name: str
    what: str
    found_as: frozenset[Kind]
    needs_kills: bool
    trouble: list[str]
    """By the names of the checker's command line."""
    replacements: list[Replacement]


class NotPlanted(Exception):
    """The text that a fault replaces is not there, or more than once: the code has changed, and
    the fault must follow."""


def all_faults(folder: Path = FAULTS) -> list[Fault]:
    return [read_fault(path) for path in sorted(folder.glob("*.toml"))]


def read_fault(path: Path) -> Fault:
    """
    Raises:
        ValueError: the file is not such a fault.
    """
    text: dict[str, Any] = tomllib.loads(path.read_text())
    return Fault(
        path.stem,
        text["what"],
        frozenset(map(Kind, text["found_as"])),
        text.get("needs_kills", False),
        text.get("trouble", []),
        [Replacement(**one) for one in text["replace"]],
    )


def plant(fault: Fault, source: Path, target: Path) -> Path:
    """Copy the server's packages from `source` to the new folder `target`, with the fault.

    Raises:
        NotPlanted
    """
    for part in _PARTS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source / part, target / part, ignore=ignored)
    for file, old, new in fault.replacements:
        path = target / file
        text = path.read_text()
        if text.count(old) != 1:
            raise NotPlanted(f"{fault.name}: {file} has this {text.count(old)} times:\n{old}")
        path.write_text(text.replace(old, new))
    return target
