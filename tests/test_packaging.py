"""What pip installs: the schema comes along, test code does not, and the wheel is enough."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
KINDS = ("sql/sqlite", "sql/postgres", "cassandra")
SCHEMA = [path for kind in KINDS for path in (ROOT / kind).iterdir()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Built from a copy, so that no build folder is left in the checkout.
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    tracked = ["chatd", "protocol", "sql", "cassandra", "setup.cfg", "pyproject.toml"]
    tracked += ["README.md", "LICENSE"]
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
    prefix = "chatd/_schema/"
    schema = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    assert schema == {str(path.relative_to(ROOT)) for path in SCHEMA}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_is_found_in_the_wheel(wheel: Path, tmp_path: Path, kind: str) -> None:
    code = f"from chatd.schema import schema_files; print(len(schema_files({kind!r})))"
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(tmp_path)], check=True)
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert int(found.stdout) == len([path for path in SCHEMA if path.parent == ROOT / kind])
