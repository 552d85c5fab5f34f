"""chatd.schema"""

import hashlib
from pathlib import Path

import pytest

from chatd.schema import SchemaFile, schema_files

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", ["sql/sqlite", "sql/postgres", "cassandra"])
def test_every_file_of_the_folder_is_found_in_the_order_of_its_number(kind: str) -> None:
    found = schema_files(kind)
    assert [file.name for file in found] == sorted(path.name for path in (ROOT / kind).iterdir())
    assert found[0].name.startswith("001_")
    assert all(file.text == (ROOT / kind / file.name).read_text("utf-8") for file in found)


def test_a_checksum_is_of_the_text() -> None:
    file = SchemaFile("001_x.sql", "CREATE TABLE ü (n);")
    assert file.checksum == hashlib.sha256(file.text.encode()).hexdigest()
    assert file.checksum != SchemaFile("001_x.sql", file.text + " ").checksum


def test_an_unknown_kind_is_no_folder() -> None:
    with pytest.raises(FileNotFoundError):
        schema_files("sql/oracle")
