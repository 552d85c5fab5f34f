"""PostgreSQL from the distribution's packages: durable, one role and one database for chatd.

It refuses to run as root: then it runs as the user `postgres`, in another place if that user cannot
enter the folder.
"""

import hashlib
import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final
from urllib.parse import quote

from scripts.stack import debian, process
from scripts.stack.credentials import USER, Credentials
from scripts.stack.errors import ServiceError, Unavailable
from scripts.stack.probe import postgres_answers
from scripts.stack.progress import say
from scripts.stack.service import Instance, Launch, Service
from scripts.stack.settings import HOST, Settings
from scripts.stack.tool import run, telling_line

DATABASE: Final = "chatd"
SYSTEM_USER: Final = "postgres"
OLDEST: Final = 15
_PACKAGE: Final = "postgresql"
_INSTALLED: Final = Path("/usr/lib/postgresql")
_ELSEWHERE: Final = Path("/var/tmp")
"""On a disk, unlike the temporary folder of some machines: an fsync must cost what it costs."""
_ORPHAN_SECONDS: Final = 10
_CONFIGURATION: Final = """\
listen_addresses = '{host}'
port = {port}
unix_socket_directories = ''
hba_file = '{home}/hba.conf'
max_connections = 200
fsync = on
synchronous_commit = on
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
"""
_TLS: Final = """\
ssl = on
ssl_cert_file = '{home}/server.pem'
ssl_key_file = '{home}/server.key'
"""
_ROLE: Final = """\
CREATE ROLE {user} LOGIN CREATEDB PASSWORD '{password}';
GRANT pg_monitor, pg_signal_backend, pg_checkpoint TO {user};
CREATE DATABASE {database} OWNER {user};
"""


class PostgresServer(Service):
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT
    """Ends the sessions; SIGTERM would wait for them."""

    def __init__(self, name: str, settings: Settings, *, with_tls: bool = False) -> None:
        super().__init__(name, settings)
        self._with_tls = with_tls
        self._credentials = Credentials(settings)
        self._user = SYSTEM_USER if os.geteuid() == 0 else None

    def missing_packages(self) -> list[str]:
        return [] if programs() else [_PACKAGE]

    def install(self) -> None:
        debian.require(self.missing_packages())
        try:
            pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            if self._user is not None:
                raise Unavailable(
                    f"does not run as root, and there is no user {SYSTEM_USER}"
                ) from None

    def version(self) -> str:
        return run([self._program("postgres"), "--version"]).split()[2]

    def launch(self, instance: Instance) -> Launch:
        home = self._home()
        files = {"postgresql.conf": configuration(instance, home, self._with_tls)}
        files["hba.conf"] = access(instance, self._with_tls)
        if self._with_tls:
            files["server.pem"], files["server.key"] = self._credentials.certificate()
        data = home / "data"
        return Launch(
            command=(
                self._program("postgres"),
                "-D",
                str(data),
                "-c",
                f"config_file={home}/postgresql.conf",
            ),
            home=home,
            working_folder=data,
            files=files,
            user=self._user,
        )

    def is_ready(self, instance: Instance) -> bool:
        tls = None
        if self._with_tls:
            try:
                tls = self._credentials.client_context()
            except OSError:
                return False
        return postgres_answers(instance.host, instance.port, USER, DATABASE, tls)

    def variables(self) -> dict[str, str]:
        if not self._with_tls:
            return {"CHATD_DATABASE_URL": f"postgresql://{USER}@{HOST}:{self.port}/{DATABASE}"}
        login = f"{USER}:{self._credentials.password()}"
        trusted = quote(str(self._credentials.certificate_file))
        url = f"postgresql://{login}@{HOST}:{self.port}/{DATABASE}"
        url += f"?sslmode=verify-full&sslrootcert={trusted}"
        return {"SERVICES_POSTGRES_TLS_URL": url, "CHATD_DATABASE_URL": url}

    def prepare(self, instance: Instance, launch: Launch) -> None:
        data = launch.working_folder
        if (data / "PG_VERSION").exists():
            made_by = (data / "PG_VERSION").read_text().strip()
            if made_by != self.version().split(".")[0]:
                raise ServiceError(
                    f"{data} was made by PostgreSQL {made_by}:"
                    f" remove it with `scripts/services down --clean {self.name}`"
                )
            return
        say(self.name, f"makes its data in {data}")
        for unfinished in launch.home.glob("data.new.*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        # A name of its own: the initdb of a run that was killed may still be writing.
        new = Path(tempfile.mkdtemp(prefix="data.new.", dir=launch.home))
        if launch.user is not None:
            shutil.chown(new, launch.user)
        options = ["-U", SYSTEM_USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        run([self._program("initdb"), "-D", str(new), *options], user=launch.user, folder=new)
        password = self._credentials.password()
        said = run(
            [self._program("postgres"), "--single", "-D", str(new), "postgres"],
            user=launch.user,
            folder=new,
            text=_ROLE.format(user=USER, password=password, database=DATABASE),
        )
        if "ERROR:" in said:  # Its exit code does not tell.
            raise ServiceError(f"cannot make the role {USER}: {telling_line(said)}")
        if data.exists():
            data.rmdir()
        new.rename(data)

    def clear(self, instance: Instance) -> None:
        """A killed server leaves processes that end soon, and a pid file.

        Nobody lives in the data when they are gone, so the file tells of nothing: its number may
        be another server's by now, which would keep this one from starting.
        """
        data = self._home() / "data"
        for orphan in process.in_folder(data, "postgres"):
            if not process.wait_for_end(orphan, _ORPHAN_SECONDS):
                process.send(orphan, signal.SIGKILL)
                process.wait_for_end(orphan, _ORPHAN_SECONDS)
        (data / "postmaster.pid").unlink(missing_ok=True)

    def other_folders(self) -> Sequence[Path]:
        return [self._elsewhere()]

    def _program(self, name: str) -> str:
        folder = programs()
        if folder is None:
            raise Unavailable("is not installed")
        return str(folder / name)

    def _home(self) -> Path:
        return self.folder if can_enter(self.folder, self._user) else self._elsewhere()

    def _elsewhere(self) -> Path:
        mark = hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]
        return _ELSEWHERE / f"chatd-services-{mark}"


def programs() -> Path | None:
    """The folder of the newest PostgreSQL that will do."""
    found = [
        (int(folder.name), folder / "bin")
        for folder in (_INSTALLED.iterdir() if _INSTALLED.is_dir() else [])
        if folder.name.isdigit() and (folder / "bin" / "initdb").exists()
    ]
    new_enough = [each for each in found if each[0] >= OLDEST]
    if new_enough:
        return max(new_enough)[1]
    on_path = shutil.which("initdb")
    return None if on_path is None else Path(on_path).resolve().parent


def can_enter(folder: Path, user: str | None) -> bool:
    """Whether this user can enter what the folder is in; None is whoever runs this."""
    if user is None:
        return True
    try:
        run(["test", "-x", str(folder.parent)], user=user, folder=Path("/"))
    except (ServiceError, KeyError):
        return False
    return True


def configuration(instance: Instance, home: Path, with_tls: bool) -> str:
    text = _CONFIGURATION.format(host=instance.host, port=instance.port, home=home)
    return text + (_TLS.format(home=home) if with_tls else "")


def access(instance: Instance, with_tls: bool) -> str:
    """Who may log in: chatd's role alone, over TLS with the password, or just so."""
    kind, method = ("hostssl", "scram-sha-256") if with_tls else ("host", "trust")
    return f"{kind} all {USER} {instance.host}/32 {method}\n"
