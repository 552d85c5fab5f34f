"""chatd.data_dir"""

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from chatd.data_dir import DataDir
from chatd.errors import StartError

ROOT: Final = Path(__file__).parents[2]
HOLDER: Final = """
import sys
from pathlib import Path
from chatd.data_dir import DataDir
with DataDir(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
TAKER: Final = """
import sys
from pathlib import Path
from chatd.data_dir import DataDir
from chatd.errors import StartError
try:
    with DataDir(Path(sys.argv[1])):
        print("taken")
except StartError as error:
    print(error)
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def take(folder: Path) -> str:
    """What another process says that wants the folder."""
    return subprocess.run(
        [sys.executable, "-c", TAKER, str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()


def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "data"
    with DataDir(folder) as data_dir:
        assert mode(folder) == 0o700
        assert data_dir.database.parent == folder
    assert folder.is_dir()


@pytest.mark.slow
def test_another_process_cannot_take_what_is_held(tmp_path: Path) -> None:
    with DataDir(tmp_path):
        said = take(tmp_path)
        assert f"in use by process {os.getpid()};" in said
        assert "CHATD_DATA_DIR" in said
    assert take(tmp_path) == "taken"


@pytest.mark.slow
def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StartError, match=f"process {holder.pid};"), DataDir(tmp_path):
            pass
        holder.kill()
        holder.wait()
    with DataDir(tmp_path):
        pass


def test_a_process_takes_a_folder_once(tmp_path: Path) -> None:
    with DataDir(tmp_path):
        with pytest.raises(StartError, match="in use"), DataDir(tmp_path):
            pass
    with DataDir(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for folder in (file, file / "below"):
        with pytest.raises(StartError, match="CHATD_DATA_DIR"), DataDir(folder):
            pass
        with pytest.raises(StartError, match="CHATD_DATA_DIR"):
            DataDir(folder).jwt_secret()


def test_the_secret_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    secret = DataDir(folder).jwt_secret()
    assert len(secret.encode()) >= 32
    (file,) = (path for path in folder.iterdir() if secret in path.read_text())
    assert mode(file) == 0o600
    assert DataDir(folder).jwt_secret() == secret
    with DataDir(folder) as data_dir:
        assert data_dir.jwt_secret() == secret


def test_folders_have_secrets_of_their_own(tmp_path: Path) -> None:
    assert DataDir(tmp_path / "a").jwt_secret() != DataDir(tmp_path / "b").jwt_secret()


def test_a_secret_that_was_made_weak_is_refused(tmp_path: Path) -> None:
    DataDir(tmp_path).jwt_secret()
    (file,) = tmp_path.iterdir()
    for weak in ("", "short\n", "a" * 64):
        file.write_text(weak)
        with pytest.raises(StartError, match=str(file)):
            DataDir(tmp_path).jwt_secret()
