"""Redis from the distribution's packages: for what may be lost, for jobs, and behind a password."""

import shutil
from typing import Final
from urllib.parse import quote

from scripts.stack import debian
from scripts.stack.credentials import Credentials
from scripts.stack.errors import Unavailable
from scripts.stack.probe import redis_answers
from scripts.stack.service import Instance, Launch, Service
from scripts.stack.settings import HOST, Settings
from scripts.stack.tool import run

_PACKAGE: Final = "redis-server"
_PROGRAM: Final = "redis-server"
_FILE: Final = "redis.conf"
_COMMON: Final = """\
bind {host}
dir "{home}"
save ""
maxmemory 256mb
"""
_LOSSY: Final = """\
appendonly no
maxmemory-policy volatile-lru
"""
_KEPT: Final = """\
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
"""
_TLS: Final = """\
port 0
tls-port {port}
tls-cert-file "{home}/server.pem"
tls-key-file "{home}/server.key"
tls-ca-cert-file "{home}/server.pem"
tls-auth-clients no
requirepass {password}
"""


class RedisServer(Service):
    def __init__(
        self, name: str, settings: Settings, *, for_jobs: bool = False, with_tls: bool = False
    ) -> None:
        super().__init__(name, settings)
        self._for_jobs = for_jobs
        self._with_tls = with_tls
        self._credentials = Credentials(settings)

    def missing_packages(self) -> list[str]:
        return [] if shutil.which(_PROGRAM) else [_PACKAGE]

    def install(self) -> None:
        debian.require(self.missing_packages())

    def version(self) -> str:
        words = run([self._program(), "--version"]).split()
        return next((word[2:] for word in words if word.startswith("v=")), "?")

    def launch(self, instance: Instance) -> Launch:
        password = self._credentials.password() if self._with_tls else ""
        files = {_FILE: configuration(instance, self._for_jobs, password)}
        if self._with_tls:
            files["server.pem"], files["server.key"] = self._credentials.certificate()
        return Launch(
            command=(self._program(), str(self.folder / _FILE)),
            home=self.folder,
            working_folder=self.folder,
            files=files,
        )

    def is_ready(self, instance: Instance) -> bool:
        if not self._with_tls:
            return redis_answers(instance.host, instance.port)
        try:
            tls = self._credentials.client_context()
        except OSError:
            return False
        return redis_answers(instance.host, instance.port, self._credentials.password(), tls)

    def variables(self) -> dict[str, str]:
        if not self._with_tls:
            name = "CHATD_QUEUE_REDIS_URL" if self._for_jobs else "CHATD_REDIS_URL"
            return {name: f"redis://{HOST}:{self.port}/0"}
        trusted = quote(str(self._credentials.certificate_file))
        url = f"rediss://:{self._credentials.password()}@{HOST}:{self.port}/0"
        url += f"?ssl_ca_certs={trusted}"
        return {"SERVICES_REDIS_TLS_URL": url, "CHATD_REDIS_URL": url}

    def _program(self) -> str:
        found = shutil.which(_PROGRAM)
        if found is None:
            raise Unavailable("is not installed")
        return found


def configuration(instance: Instance, for_jobs: bool, password: str) -> str:
    """With a password: only over TLS."""
    text = _COMMON.format(host=instance.host, home=instance.folder)
    text += _KEPT if for_jobs else _LOSSY
    if not password:
        return text + f"port {instance.port}\n"
    return text + _TLS.format(port=instance.port, home=instance.folder, password=password)
