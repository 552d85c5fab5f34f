"""Finds the schema files, in the wheel or in the checkout, in the order in which
they are applied."""

import hashlib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple


class SchemaFile(NamedTuple):
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def schema_files(kind: str) -> list[SchemaFile]:
    """The files of `sql/sqlite` and the like, by name: the number in front is the order."""
    root: Traversable = resources.files("chatd").joinpath("_schema", *kind.split("/"))
    if not root.is_dir():
        root = Path(__file__).parents[1] / kind
    files = (entry for entry in root.iterdir() if entry.name.endswith((".cql", ".sql")))
    return sorted(SchemaFile(entry.name, entry.read_text("utf-8")) for entry in files)
