"""What the services that want it are given: one password, one self-made certificate."""

import os
import secrets
import ssl
import threading
from pathlib import Path
from typing import Final

from scripts.stack.settings import CLUSTER_HOSTS, HOST, Settings
from scripts.stack.tool import run

USER: Final = "chatd"
"""Of every service that knows users, if it can be chosen."""
_DAYS: Final = 3650
_LOCK: Final = threading.Lock()
"""Several services may want them first."""


class Credentials:
    """Made on first use, kept in a folder that only its owner can enter."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.folder / "credentials"

    @property
    def certificate_file(self) -> Path:
        """The certificate that clients trust; of the servers as well."""
        return self._folder / "certificate.pem"

    @property
    def _key_file(self) -> Path:
        return self._folder / "key.pem"

    @property
    def _password_file(self) -> Path:
        return self._folder / "password"

    def password(self) -> str:
        """Letters and digits: it needs no quotes anywhere."""
        with _LOCK:
            self._make_folder()
            if not self._password_file.exists():
                self._write(self._password_file, secrets.token_hex(16))
            return self._password_file.read_text()

    def certificate(self) -> tuple[str, str]:
        """Certificate and key, PEM. Raises ServiceError: openssl failed."""
        with _LOCK:
            self._make_folder()
            if not self.certificate_file.exists():
                self._make_certificate()
            return self.certificate_file.read_text(), self._key_file.read_text()

    def client_context(self) -> ssl.SSLContext:
        """Trusts the certificate, and nobody else's. Raises OSError: there is none yet."""
        return ssl.create_default_context(cafile=str(self.certificate_file))

    def _make_folder(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _make_certificate(self) -> None:
        names = ["DNS:localhost", *(f"IP:{host}" for host in (HOST, *CLUSTER_HOSTS))]
        made = self.certificate_file.with_suffix(".new")
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-days", str(_DAYS)]
        command += ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=chatd services"]
        command += ["-addext", f"subjectAltName={','.join(names)}"]
        command += ["-addext", "keyUsage=critical,digitalSignature,keyCertSign"]
        run([*command, "-keyout", str(self._key_file), "-out", str(made)])
        # The certificate last: where it is, its key is.
        os.replace(made, self.certificate_file)

    def _write(self, file: Path, text: str) -> None:
        new = file.with_suffix(".new")
        new.write_text(text)
        os.replace(new, file)
