"""The health check of the image, for every role: exit code 0, or 1 and one line on why.

It asks the process that the container is for, found by its command line: a server whether its
sockets accept connections, a worker whether it is in touch with the queue. `migrate` and the other
commands end by themselves and are well as long as they run.
"""

import http.client
import os
import socket
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

PROGRAM: Final = "chatd"
FIRST_PROCESS: Final = 1
_SECONDS: Final = 3.0
_EVERYWHERE: Final = ("", "0.0.0.0", "::")
_SERVER_ERROR: Final = 500
_DEFAULTS: Final = {
    "host": "127.0.0.1",
    "http_port": 3000,
    "chat_port": 4000,
    "presence_port": 4001,
    "own_http_port": 0,
    "role": "http,chat,presence",
}


class Unwell(Exception):
    """The message says what is wrong."""


class Settings:
    """What the process runs with: flags, the environment, its config file, in falling order."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str]) -> None:
        self._flags = _flags(arguments)
        self._environment = environment
        file = self._flags.get("config")
        self._file: dict[str, Any] = tomllib.loads(Path(file).read_text("utf-8")) if file else {}

    def text(self, name: str) -> str:
        if name in self._flags:
            return self._flags[name]
        default = self._file.get(name, _DEFAULTS.get(name, ""))
        return self._environment.get(f"CHATD_{name.upper()}", str(default))

    def port(self, name: str) -> int:
        return int(self.text(name))

    @property
    def host(self) -> str:
        host = self.text("host")
        return "127.0.0.1" if host in _EVERYWHERE else host


def check(arguments: list[str], environment: Mapping[str, str]) -> None:
    """Raises Unwell."""
    settings = Settings(arguments, environment)
    if arguments[0] == "serve":
        check_server(settings)
    elif arguments[0] == "worker":
        check_worker(settings.text("queue_redis_url") or settings.text("redis_url"))


def check_server(settings: Settings) -> None:
    """Where the process has HTTP it knows of all its sockets; else each of them is asked."""
    roles = settings.text("role").split(",")
    port = settings.port("own_http_port")
    if not port and "http" in roles:
        port = settings.port("http_port")
    if port:
        status = _status(settings.host, port, "/health")
        if status != http.client.OK:
            raise Unwell(f"/health on port {port} answers {status}")
        return
    for role in roles:
        port = settings.port(f"{role.strip()}_port")
        # No token: any refusal shows that the door is open.
        status = _status(settings.host, port, "/")
        if status >= _SERVER_ERROR:
            raise Unwell(f"the {role} socket on port {port} answers {status}")


def check_worker(url: str) -> None:
    """A worker leaves a key that it renews; it has an end of its own."""
    # Half a second of processor time that a server's check need not spend.
    import redis
    import rq

    connection = redis.Redis.from_url(url, socket_timeout=_SECONDS)
    try:
        workers = rq.Worker.all(connection=connection)
    except redis.RedisError as error:
        raise Unwell(f"the queue cannot be asked: {error}") from None
    finally:
        connection.close()
    if not any(worker.hostname == socket.gethostname() for worker in workers):
        raise Unwell("no worker of this machine is in touch with the queue")


def arguments_of(process: int) -> list[str]:
    """What chatd was started with, also behind an init that hands its signals on.

    Raises:
        Unwell: the process is another program, or is not there.
    """
    try:
        words = Path(f"/proc/{process}/cmdline").read_text().split("\0")[:-1]
    except OSError as error:
        raise Unwell(f"process {process} cannot be seen: {error.strerror}") from None
    for place, word in enumerate(words):
        if Path(word).name == PROGRAM and place + 1 < len(words):
            return words[place + 1 :]
    raise Unwell(f"process {process} is not {PROGRAM}: {' '.join(words)}")


def _flags(arguments: list[str]) -> dict[str, str]:
    """`--name value` and `--name=value`, as the settings are called."""
    found: dict[str, str] = {}
    for place, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name.startswith("--") and (equals or place + 1 < len(arguments)):
            found[name[2:].replace("-", "_")] = value if equals else arguments[place + 1]
    return found


def _status(host: str, port: int, path: str) -> int:
    connection = http.client.HTTPConnection(host, port, timeout=_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise Unwell(f"port {port} does not answer: {error}") from None
    finally:
        connection.close()


def main() -> None:
    process = int(sys.argv[1]) if len(sys.argv) > 1 else FIRST_PROCESS
    try:
        check(arguments_of(process), os.environ)
    except Unwell as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
