"""The Go library centrifuge, as the small server in `centrifuge/`: in memory, nothing is stored.

Its JSON protocol joins frames of one connection with newlines in one WebSocket message, so a
frame may hold several messages and acks.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from bench import wire
from bench.errors import BenchError
from bench.peers.child import ChildPeer
from bench.plan import Dialect, Seat, Step
from bench.processes import HOST, ChildServer, accepts, free_ports

_SOURCE: Final = Path(__file__).with_name("centrifuge")
_SOURCE_FILES: Final = ("go.mod", "go.sum", "main.go")
_BUILD_SECONDS: Final = 600
_CHANNEL: Final = "room"
_CONNECT_ID: Final = 1
_SUBSCRIBE_ID: Final = 2
# The id of a post is its number after a 1, because the server refuses 0.
_POST: Final = (
    '{"id":1%(number)d,"publish":{"channel":"{to}",'
    '"data":{"from":"{user}","content":"%(content)s"}}}'
)


class Centrifuge(ChildPeer):
    name = "centrifuge"
    description = "Go, in memory: nothing is stored"
    dialect = Dialect(
        ack=rb'"id":1(\d+),"publish"',
        refusal=rb'"error":\{[^}]*|"disconnect":\{[^}]*',
    )
    has_echo = True

    def group_seats(self, members: int) -> list[Seat]:
        return [self._seat(n, listens_to=_CHANNEL, posts_to=_CHANNEL) for n in range(members)]

    def pair_seats(self, pairs: int) -> list[Seat]:
        return [
            self._seat(n, listens_to=f"d:{_name(n)}", posts_to=f"d:{_name(n ^ 1)}")
            for n in range(2 * pairs)
        ]

    def idle_seats(self, count: int) -> list[Seat]:
        return [self._seat(n) for n in range(count)]

    def _start(self) -> None:
        program = build()
        (port,) = free_ports(1)
        environment = dict(os.environ)
        if self._core is not None:
            environment["GOMAXPROCS"] = "1"
        server = ChildServer(
            self.name,
            [str(program), f"{HOST}:{port}"],
            environment,
            self._folder / "log",
            self._core,
        )
        self._servers.append(server)
        self._ports.append(port)
        server.wait_until(lambda: accepts(port))

    def _seat(self, number: int, *, listens_to: str = "", posts_to: str = "") -> Seat:
        user = _name(number)
        connect = f'{{"id":{_CONNECT_ID},"connect":{{"token":"{user}"}}}}'
        steps = [Step(connect, b'"connect":')]
        if listens_to:
            subscribe = f'{{"id":{_SUBSCRIBE_ID},"subscribe":{{"channel":"{listens_to}"}}}}'
            steps.append(Step(subscribe, b'"subscribe":'))
        request = wire.upgrade(HOST, "/connection/websocket", {})
        post = _POST.replace("{to}", posts_to).replace("{user}", user) if posts_to else ""
        return Seat(number, user, request, tuple(steps), post)


def build() -> Path:
    """The program, built once for every state of its source, in the user's cache folder.

    Raises:
        BenchError: there is no Go here, or it cannot build this.
    """
    go = shutil.which("go")
    if go is None:
        raise BenchError("it takes Go, and there is no `go` on the PATH")
    digest = hashlib.sha256()
    for name in _SOURCE_FILES:
        digest.update((_SOURCE / name).read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    program = cache / "chatd-bench" / f"centrifuge-{digest.hexdigest()[:16]}"
    if not program.exists():
        _build(go, program)
    return program


def _build(go: str, program: Path) -> None:
    unfinished = program.with_name(f"{program.name}.{os.getpid()}")
    try:
        program.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [go, "build", "-o", str(unfinished), "."],
            cwd=_SOURCE,
            check=True,
            capture_output=True,
            text=True,
            timeout=_BUILD_SECONDS,
        )
        unfinished.rename(program)
    except subprocess.CalledProcessError as error:
        lines = str(error.stderr).strip().splitlines() or ["it said nothing"]
        raise BenchError(f"`go build` failed: {lines[-1]}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(f"`go build` failed: {error}") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _name(number: int) -> str:
    return f"user{number}"
