"""What pip installs: the schema comes along, test code does not, and the wheel is enough."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Built from a copy, so that no build folder is left in the checkout.
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    tracked = ["chatd", "protocol", "sql", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"]
    subprocess.run(["cp", "-r", *(str(ROOT / name) for name in tracked), str(source)], check=True)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            str(target),
            str(source),
        ],
        check=True,
        capture_output=True,
    )
    (made,) = target.glob("*.whl")
    return made


@pytest.mark.slow
def test_the_wheel_holds_the_program_and_the_schema(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"chatd", "protocol"}
    schema = {Path(name).name for name in names if name.startswith("chatd/_schema/sql/sqlite/")}
    assert schema == {path.name for path in (ROOT / "sql" / "sqlite").glob("*.sql")}


@pytest.mark.slow
def test_the_schema_is_found_in_the_wheel(wheel: Path, tmp_path: Path) -> None:
    code = "from chatd.schema import schema_files; print(len(schema_files('sql/sqlite')))"
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(tmp_path)], check=True)
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert int(found.stdout) == len(list((ROOT / "sql" / "sqlite").glob("*.sql")))
