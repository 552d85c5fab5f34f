"""The data folder of the embedded default: locked by one process, and keeper of the
secret that it makes."""

import fcntl
import os
import secrets
from pathlib import Path
from typing import Final, Self

from chatd.config_rules import check_secret
from chatd.errors import StartError

_LOCK: Final = "lock"
_SECRET: Final = "jwt-secret"
_DATABASE: Final = "chatd.sqlite"


class DataDir:
    """A folder, made if it is not there. Use as a context manager to hold its lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @property
    def database(self) -> Path:
        return self.path / _DATABASE

    def __enter__(self) -> Self:
        """Raises StartError: the folder cannot be written, or another process has it."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartError(
                f"cannot write to the data folder {self.path}: {error.strerror};"
                " set CHATD_DATA_DIR to another"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "?"
            os.close(self._lock)
            raise StartError(
                f"the data folder {self.path} is in use by process {holder};"
                " stop it or set CHATD_DATA_DIR to another folder"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def jwt_secret(self) -> str:
        """The secret of this folder, made on first use, readable by its owner alone."""
        file = self.path / _SECRET
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                made = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                secret = file.read_text().strip()
                check_secret(secret, str(file))
                return secret
            with os.fdopen(made, "w") as handle:
                secret = secrets.token_hex(32)
                handle.write(secret + "\n")
                handle.flush()
                os.fsync(handle.fileno())
            return secret
        except OSError as error:
            raise StartError(
                f"cannot use {file}: {error.strerror}; set CHATD_DATA_DIR to another folder"
            ) from None
