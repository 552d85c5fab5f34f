"""What a service is: a program, one process of it or several, and how to know that it answers."""

import hashlib
import json
import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar

from scripts.stack.settings import HOST, Settings


@dataclass(frozen=True)
class Instance:
    """One process of a service."""

    folder: Path
    """Holds its record and its log."""
    host: str
    port: int
    """For clients."""
    other_ports: tuple[int, ...] = ()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Launch:
    """How one process is started."""

    command: tuple[str, ...]
    home: Path
    """Where `files` are written; the user that it runs as can read them."""
    working_folder: Path
    files: Mapping[str, str] = field(default_factory=dict)
    """Its configuration, text by file name."""
    user: str | None = None
    """Whom it runs as; None for whoever runs this."""

    @property
    def fingerprint(self) -> str:
        values = asdict(self) | {
            "home": str(self.home),
            "working_folder": str(self.working_folder),
        }
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


class Service(ABC):
    """A name that `up` knows. To make one touches nothing: it may be only asked for."""

    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    patience_seconds: ClassVar[float] = 60
    """Until it answers, on a slow machine; and until it has ended."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.folder = settings.folder / name

    @property
    def port(self) -> int:
        return self.settings.ports[self.name]

    @property
    def instances(self) -> Sequence[Instance]:
        return [Instance(self.folder, HOST, self.port)]

    @abstractmethod
    def missing_packages(self) -> list[str]:
        """Debian packages without which it cannot run here."""

    @abstractmethod
    def install(self) -> None:
        """Have everything that it runs, the packages apart.

        Raises:
            Unavailable: it cannot be had.
        """

    @abstractmethod
    def version(self) -> str:
        """Of the program; after `install`."""

    @abstractmethod
    def launch(self, instance: Instance) -> Launch:
        """How to start this process; after `install`. Raises ServiceError."""

    @abstractmethod
    def is_ready(self, instance: Instance) -> bool:
        """Whether it answers a client as it should."""

    @abstractmethod
    def variables(self) -> dict[str, str]:
        """What a program must know to use it, by the name in the environment."""

    def clear(self, instance: Instance) -> None:
        """Put away what a killed process may have left, before it is started again."""
        return

    def prepare(self, instance: Instance, launch: Launch) -> None:
        """Make its data if there is none. Raises ServiceError."""
        return

    def other_folders(self) -> Sequence[Path]:
        """Folders of its own outside `folder`, whether they are there or not."""
        return []
