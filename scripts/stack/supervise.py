"""One process from its start to its end: started once, waited for, never confused with another."""

import os
import pwd
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Final

from scripts.stack import record
from scripts.stack.errors import ServiceError
from scripts.stack.process import Identity, identity_of, is_alive, send, wait_for_end
from scripts.stack.progress import say
from scripts.stack.record import Record
from scripts.stack.service import Instance, Launch, Service

_POLL_SECONDS: Final = 0.05
_KILL_SECONDS: Final = 10
_MAX_SHOWN: Final = 300
_LOG: Final = "log"
_STARTED: Final[list[subprocess.Popen[bytes]]] = []
"""Never waited for: they outlive this program."""
_ENVIRONMENT: Final = ("PATH", "HOME", "TZ")
"""What a service gets of ours; the rest could change how it behaves."""


def start(service: Service, instance: Instance) -> bool:
    """Have it running, not yet ready; False if it was. One with other settings is started again.

    Raises:
        ServiceError: it cannot be started.
    """
    launch = service.launch(instance)
    known = record.read(instance.folder)
    if known is not None and is_alive(known.identity):
        if known.fingerprint == launch.fingerprint:
            return False
        say(service.name, "is started again: its settings have changed")
        stop(service, instance)
    service.clear(instance)
    _require_free_ports(service, instance)
    instance.folder.mkdir(parents=True, exist_ok=True)
    write_files(launch)
    service.prepare(instance, launch)
    identity = _spawn(launch, instance.folder / _LOG)
    record.write(
        instance.folder,
        Record(identity, service.version(), launch.fingerprint, service.stop_signal),
    )
    return True


def wait_until_ready(service: Service) -> None:
    """Raises ServiceError: a process has ended, or does not answer in time; with its last words."""
    deadline = time.monotonic() + service.patience_seconds
    waiting = list(service.instances)
    while waiting := [each for each in waiting if not service.is_ready(each)]:
        for instance in service.instances:
            known = record.read(instance.folder)
            if known is None or wait_for_end(known.identity, _POLL_SECONDS):
                raise ServiceError(f"{instance.address} has ended: {_last_words(instance)}")
        if time.monotonic() > deadline:
            raise ServiceError(
                f"{waiting[0].address} does not answer after {service.patience_seconds:g} s:"
                f" {_last_words(waiting[0])}"
            )


def stop(service: Service, instance: Instance) -> bool:
    """End what was started here, by force if it takes too long; False if nothing runs.

    Raises:
        ServiceError: even force did not end it.
    """
    known = record.read(instance.folder)
    if known is None:
        return False
    was_running = send(known.identity, known.stop_signal)
    if was_running and not wait_for_end(known.identity, service.patience_seconds):
        say(service.name, f"does not stop, is killed (pid {known.identity.pid})")
        send(known.identity, signal.SIGKILL)
        if not wait_for_end(known.identity, _KILL_SECONDS):
            raise ServiceError(f"process {known.identity.pid} cannot be killed")
    service.clear(instance)
    record.remove(instance.folder)
    return was_running


def write_files(launch: Launch) -> None:
    """The configuration, for the eyes of whom it runs as alone.

    Raises:
        ServiceError: its folder is somebody else's.
    """
    launch.home.mkdir(parents=True, exist_ok=True)
    if launch.home.is_symlink() or launch.home.stat().st_uid not in _trusted(launch.user):
        raise ServiceError(f"{launch.home} is another user's: remove it, or choose another --dir")
    if launch.user is not None:
        launch.home.chmod(0o755)
    for name, text in launch.files.items():
        new = launch.home / f"{name}.new"
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        if launch.user is not None:
            owner = pwd.getpwnam(launch.user)
            os.chown(new, owner.pw_uid, owner.pw_gid)
        os.replace(new, launch.home / name)


def _trusted(user: str | None) -> set[int]:
    return {os.geteuid()} if user is None else {os.geteuid(), pwd.getpwnam(user).pw_uid}


def _spawn(launch: Launch, log: Path) -> Identity:
    """Start it in a session of its own: Ctrl-C and the end of the terminal do not reach it."""
    launch.working_folder.mkdir(parents=True, exist_ok=True)
    if log.exists():
        os.replace(log, log.with_suffix(".old"))
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                launch.command,
                cwd=launch.working_folder,
                env=environment | {"LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=launch.user,
                group=None if launch.user is None else pwd.getpwnam(launch.user).pw_gid,
                extra_groups=None if launch.user is None else [],
            )
        except OSError as error:
            raise ServiceError(f"cannot be started: {error}") from None
    _STARTED.append(process)
    identity = identity_of(process.pid)
    if identity is None:
        process.wait()
        raise ServiceError(f"ended at once, see {log}")
    return identity


def _require_free_ports(service: Service, instance: Instance) -> None:
    for port in (instance.port, *instance.other_ports):
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind((instance.host, port))
            except OSError as error:
                raise ServiceError(
                    f"cannot listen on {instance.host}:{port}: {error.strerror};"
                    f" choose another port with --port"
                ) from None


def _last_words(instance: Instance) -> str:
    log = instance.folder / _LOG
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return f"{lines[-1][:_MAX_SHOWN] if lines else 'it said nothing'} ({log})"
