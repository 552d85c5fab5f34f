"""All that was asked for, side by side: up, down, and how it stands."""

import fcntl
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from scripts.stack import compose, debian, record, supervise
from scripts.stack.errors import ServiceError, Unavailable
from scripts.stack.parallel import for_each
from scripts.stack.process import is_alive
from scripts.stack.progress import say
from scripts.stack.service import Service
from scripts.stack.settings import Settings

_LOCK: Final = "lock"


class State(StrEnum):
    UP = "up"
    DOWN = "down"
    NOT_READY = "not ready"
    """It runs, and does not answer: it starts, hangs, or lacks one of its processes."""
    FAILED = "failed"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True)
class Report:
    """How one service stands."""

    name: str
    state: State
    addresses: tuple[str, ...]
    pids: tuple[int, ...] = ()
    """Of its own processes: none in a container."""
    version: str = ""
    """Empty if it is down."""
    reason: str = ""
    """Why it failed, or cannot be had."""


def up(services: Sequence[Service], settings: Settings) -> list[Report]:
    """Have them all running and ready, as far as that can be done."""
    with _alone(settings):
        contained = compose.started(settings)
        own = [service for service in services if service.name not in contained]
        _install_packages(own, settings)
        failures = {
            service.name: outcome
            for service, outcome in zip(own, for_each(_bring_up, own), strict=True)
            if isinstance(outcome, ServiceError)
        }
        wanted = [name for name, failure in failures.items() if isinstance(failure, Unavailable)]
        wanted = [name for name in wanted if name in compose.NAMES]
        if wanted and not compose.has_engine():
            wanted = []
        wanted += [service.name for service in services if service.name in contained]
        if wanted:
            failures |= _bring_up_in_docker(wanted, settings, failures)
    return [_report_after_up(service, failures.get(service.name)) for service in services]


def down(services: Sequence[Service], settings: Settings, *, clean: bool) -> list[ServiceError]:
    """Stop what was started; what could not be stopped.

    `clean` removes all that it wrote. What was in a container is always removed.
    """
    with _alone(settings):
        outcomes = for_each(_stop, services)
        contained = set(compose.started(settings)) & {service.name for service in services}
        if contained:
            try:
                compose.down(settings, sorted(contained))
            except ServiceError as error:
                outcomes.append(error)
        failures = [outcome for outcome in outcomes if isinstance(outcome, ServiceError)]
        if clean and not failures:
            for service in services:
                for folder in (service.folder, *service.other_folders()):
                    shutil.rmtree(folder, ignore_errors=True)
    return failures


def status(services: Sequence[Service]) -> list[Report]:
    """How they stand now; asks each whether it answers."""
    return [report for report in for_each(_status, services) if isinstance(report, Report)]


def _bring_up(service: Service) -> None:
    began = time.monotonic()
    service.install()
    started = [each for each in service.instances if supervise.start(service, each)]
    if started:
        say(service.name, f"starts at {', '.join(each.address for each in started)}")
    supervise.wait_until_ready(service)
    if started:
        say(service.name, f"is up after {time.monotonic() - began:.1f} s")
    else:
        say(service.name, "is up already")


def _bring_up_in_docker(
    names: Sequence[str], settings: Settings, failures: dict[str, ServiceError]
) -> dict[str, ServiceError]:
    """What is still wrong with them afterwards, and with the others."""
    for name in names:
        say(name, "starts in Docker")
    try:
        compose.up(settings, names)
    except ServiceError as error:
        return failures | {name: error for name in names}
    for name in names:
        failures.pop(name, None)
    return failures


def _install_packages(services: Sequence[Service], settings: Settings) -> None:
    packages = sorted({name for service in services for name in service.missing_packages()})
    if not packages or not settings.may_install or not debian.can_install():
        return
    try:
        debian.install(packages)
    except ServiceError as error:
        say("packages", str(error))


def _stop(service: Service) -> None:
    for outcome in for_each(lambda each: supervise.stop(service, each), service.instances):
        if isinstance(outcome, ServiceError):
            raise outcome
        if outcome:
            say(service.name, "has stopped")


def _report_after_up(service: Service, failure: ServiceError | None) -> Report:
    if failure is None:
        return _status(service)
    state = State.UNAVAILABLE if isinstance(failure, Unavailable) else State.FAILED
    addresses = tuple(instance.address for instance in service.instances)
    return Report(service.name, state, addresses, reason=str(failure))


def _status(service: Service) -> Report:
    addresses = tuple(instance.address for instance in service.instances)
    in_docker = service.name in compose.started(service.settings)
    known = [record.read(instance.folder) for instance in service.instances]
    alive = [each for each in known if each is not None and is_alive(each.identity)]
    if not alive and not in_docker:
        return Report(service.name, State.DOWN, addresses)
    is_ready = all(service.is_ready(instance) for instance in service.instances)
    return Report(
        service.name,
        State.UP if is_ready else State.NOT_READY,
        addresses,
        pids=tuple(each.identity.pid for each in alive),
        version=alive[0].version if alive else compose.VERSION,
    )


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """One at a time changes what is in the folder."""
    try:
        settings.folder.mkdir(parents=True, exist_ok=True)
        lock = (settings.folder / _LOCK).open("w")
    except OSError as error:
        raise ServiceError(f"cannot write to {settings.folder}: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("services", "waits for another run to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
