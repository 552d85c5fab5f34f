"""scripts.stack.supervise and up_and_down, with a process that the test made itself"""

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.stack import record, supervise, up_and_down
from scripts.stack.errors import ServiceError
from scripts.stack.process import is_alive, send, wait_for_end
from scripts.stack.service import Launch
from scripts.stack.settings import HOST
from scripts.stack.up_and_down import Report, State
from tests.unit.scripts.listener import FAILS, LISTENS, Listener, free_port


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Listener]:
    service = Listener(tmp_path, free_port())
    yield service
    supervise.stop(service, service.instances[0])


def known(service: Listener) -> record.Record:
    found = record.read(service.folder)
    assert found is not None
    return found


def test_up_starts_it_once_and_down_ends_it(service: Listener) -> None:
    (first,) = up_and_down.up([service], service.settings)
    address = f"{HOST}:{service.port}"
    pid = known(service).identity.pid
    assert first == Report("listener", State.UP, (address,), (pid,), "1")
    assert up_and_down.up([service], service.settings) == [first]
    assert up_and_down.status([service]) == [first]
    assert service.prepared == 1
    assert up_and_down.down([service], service.settings, clean=False) == []
    assert up_and_down.status([service]) == [Report("listener", State.DOWN, (address,))]
    assert not service.is_ready(service.instances[0])
    assert up_and_down.down([service], service.settings, clean=False) == []


def test_up_heals_what_was_killed(service: Listener) -> None:
    up_and_down.up([service], service.settings)
    before = known(service).identity
    send(before, signal.SIGKILL)
    assert wait_for_end(before, 30)
    assert up_and_down.status([service])[0].state is State.DOWN
    assert up_and_down.up([service], service.settings)[0].state is State.UP
    assert known(service).identity != before


def test_other_settings_start_it_again(service: Listener) -> None:
    up_and_down.up([service], service.settings)
    before = known(service).identity
    service.code = f"{LISTENS}\n"
    assert up_and_down.up([service], service.settings)[0].state is State.UP
    assert not is_alive(before) and is_alive(known(service).identity)


def test_what_ends_at_once_is_told_with_its_last_words(service: Listener) -> None:
    service.code = FAILS
    (report,) = up_and_down.up([service], service.settings)
    assert report.state is State.FAILED and report.pids == ()
    assert "has ended: there is no reason" in report.reason


def test_a_port_that_somebody_else_has_is_told(service: Listener) -> None:
    with socket.create_server((HOST, service.port)):
        (report,) = up_and_down.up([service], service.settings)
        assert report.state is State.FAILED
        assert f"cannot listen on {HOST}:{service.port}" in report.reason
        assert record.read(service.folder) is None


def test_what_runs_and_does_not_answer_is_not_up(service: Listener) -> None:
    up_and_down.up([service], service.settings)
    service.is_ready = lambda instance: False  # type: ignore[method-assign]
    (report,) = up_and_down.status([service])
    assert report.state is State.NOT_READY
    assert report.pids == (known(service).identity.pid,)


def test_down_leaves_a_process_alone_that_it_did_not_start(service: Listener) -> None:
    up_and_down.up([service], service.settings)
    real = known(service)
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    ) as bystander:
        recycled = replace(real.identity, pid=bystander.pid)
        record.write(service.folder, replace(real, identity=recycled))
        assert up_and_down.down([service], service.settings, clean=False) == []
        assert record.read(service.folder) is None
        bystander.communicate()
        assert bystander.returncode == 0
    assert is_alive(real.identity)
    record.write(service.folder, real)


def test_the_service_outlives_a_ctrl_c_in_the_terminal(service: Listener) -> None:
    up_and_down.up([service], service.settings)
    assert os.getsid(known(service).identity.pid) != os.getsid(0)


def test_it_gets_nothing_of_our_environment_but_the_least(
    service: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c fsync=off")
    up_and_down.up([service], service.settings)
    environment = Path(f"/proc/{known(service).identity.pid}/environ").read_bytes()
    names = {entry.partition(b"=")[0] for entry in environment.split(b"\0") if entry}
    assert names <= {b"PATH", b"HOME", b"TZ", b"LC_ALL"}


def test_clean_removes_what_it_wrote(service: Listener) -> None:
    up_and_down.up([service], service.settings)
    up_and_down.down([service], service.settings, clean=False)
    assert service.folder.exists()
    up_and_down.down([service], service.settings, clean=True)
    assert not service.folder.exists()


def test_the_configuration_is_for_the_eyes_of_its_user_alone(tmp_path: Path) -> None:
    launch = Launch(("true",), tmp_path / "home", tmp_path, {"a": "first"})
    supervise.write_files(launch)
    supervise.write_files(replace(launch, files={"a": "second"}))
    (file,) = launch.home.iterdir()
    assert file.read_text() == "second"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_link_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ServiceError, match="another user's"):
        supervise.write_files(Launch(("true",), tmp_path / "home", tmp_path, {"a": "b"}))
    assert not list((tmp_path / "elsewhere").iterdir())
