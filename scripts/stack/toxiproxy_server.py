"""Toxiproxy, built by Go: stands between chatd and a service, and delays, stalls or cuts."""

import shutil
from pathlib import Path
from typing import Final

from scripts.stack.download import in_cache
from scripts.stack.errors import ServiceError, Unavailable
from scripts.stack.probe import http_answers
from scripts.stack.progress import say
from scripts.stack.service import Instance, Launch, Service
from scripts.stack.settings import HOST
from scripts.stack.tool import run

VERSION: Final = "2.12.0"
_NAME: Final = f"toxiproxy-{VERSION}"
_MODULE: Final = f"github.com/Shopify/toxiproxy/v2/cmd/server@v{VERSION}"
_BUILT: Final = "server"


class ToxiproxyServer(Service):
    def missing_packages(self) -> list[str]:
        return []

    def install(self) -> None:
        in_cache(self.settings.cache, _NAME, _build, lock="go")

    def version(self) -> str:
        return VERSION

    def launch(self, instance: Instance) -> Launch:
        program = str(self.settings.cache / _NAME / _BUILT)
        return Launch(
            command=(program, "-host", instance.host, "-port", str(instance.port)),
            home=self.folder,
            working_folder=self.folder,
        )

    def is_ready(self, instance: Instance) -> bool:
        return http_answers(instance.host, instance.port, "/version")

    def variables(self) -> dict[str, str]:
        return {"SERVICES_TOXIPROXY_URL": f"http://{HOST}:{self.port}"}


def _build(folder: Path) -> None:
    if shutil.which("go") is None:
        raise Unavailable("needs Go, which builds it")
    say(_NAME, "is downloaded and built")
    try:
        run(["go", "install", _MODULE], environment={"GOBIN": str(folder), "GOTOOLCHAIN": "local"})
    except ServiceError as error:
        raise Unavailable(f"cannot be built: {error}") from None
