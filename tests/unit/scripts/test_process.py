"""scripts.stack.process and record"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.stack import record
from scripts.stack.process import (
    Identity,
    identity_of,
    in_folder,
    is_alive,
    parse_stat,
    send,
    wait_for_end,
)
from scripts.stack.record import Record

WAITS_FOR_INPUT = "import sys; sys.stdin.read()"


@pytest.fixture
def child(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until it is signalled, in a folder of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", WAITS_FOR_INPUT], stdin=subprocess.PIPE, cwd=tmp_path
    ) as process:
        yield process
        process.kill()


def identity(process: subprocess.Popen[bytes]) -> Identity:
    found = identity_of(process.pid)
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["cat", "a) S 1 (b", "two words", ")"])
def test_the_name_of_a_process_may_hold_anything(name: str) -> None:
    fields = " ".join(["R", *map(str, range(4, 22)), "777", "23", "24"])
    assert parse_stat(f"12 ({name}) {fields}\n") == ("R", 777)


def test_this_process_is_alive_and_another_of_its_number_is_not() -> None:
    own = identity_of(os.getpid())
    assert own is not None and is_alive(own)
    assert not is_alive(replace(own, started=own.started + 1))
    assert not is_alive(replace(own, boot="another"))


def test_a_signal_reaches_the_process_that_is_meant(child: subprocess.Popen[bytes]) -> None:
    meant = identity(child)
    assert not wait_for_end(meant, 0)
    assert send(meant, signal.SIGTERM)
    assert wait_for_end(meant, 30)
    assert child.wait(30) == -signal.SIGTERM
    assert not is_alive(meant) and not send(meant, signal.SIGTERM)


def test_a_signal_never_reaches_a_successor(child: subprocess.Popen[bytes]) -> None:
    """Its number is the recorded one, and it is another process."""
    recorded = replace(identity(child), started=1)
    assert not send(recorded, signal.SIGKILL)
    assert wait_for_end(recorded, 0)
    child.communicate()
    assert child.returncode == 0


def test_an_exit_code_that_nobody_took_is_no_process(child: subprocess.Popen[bytes]) -> None:
    meant = identity(child)
    send(meant, signal.SIGKILL)
    assert wait_for_end(meant, 30)
    assert identity_of(child.pid) is None


def test_processes_are_found_by_folder_and_program(
    child: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    program = Path(f"/proc/{child.pid}/exe").readlink().name
    link = tmp_path.with_name(f"{tmp_path.name}-link")
    link.symlink_to(tmp_path)
    assert in_folder(tmp_path, program) == in_folder(link, program) == [identity(child)]
    assert in_folder(tmp_path, "postgres") == [] == in_folder(tmp_path.parent, program)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = Record(Identity(12, 34, "boot"), "1.2", "abc", signal.SIGINT)
    assert record.read(tmp_path) is None
    record.write(tmp_path, written)
    assert record.read(tmp_path) == written
    record.remove(tmp_path)
    assert record.read(tmp_path) is None and not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"identity": {"pid": 1}}', "12"])
def test_a_file_that_is_no_record_tells_of_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "process.json").write_text(text)
    assert record.read(tmp_path) is None
