"""Starting on PostgreSQL, Cassandra and Redis: what is wrong is one line that names it."""

import json
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from protocol.pushes import OneToOneChat
from tests.e2e.town import Resident, Town, contents
from tests.support.backends import Backends
from tests.support.loop import run, until
from tests.support.node import Node, command, free_ports
from tests.support.proxy import Proxy

PASSWORD: Final = "a-password-that-no-line-may-show"
# The constants of the program are for people; nobody is to wait for them here.
IMPATIENT: Final = (
    "import sys; from chatd import cli, waiting; waiting.SECONDS = {seconds};"
    " waiting.PAUSE_SECONDS = {pause}; sys.exit(cli.main())"
)


class Case(NamedTuple):
    arguments: list[str]
    settings: Callable[[Backends], dict[str, str]]
    code: int
    words: list[str]
    """What the line must say."""


def at(setting: str, change: Callable[[str], str]) -> Callable[[Backends], dict[str, str]]:
    """A setting of the backends, changed."""
    return lambda backends: {setting: change(backends.settings[setting])}


def away(scheme: str) -> Callable[[str], str]:
    """A URL with a password, of a port that nobody listens on."""
    return lambda url: f"{scheme}://chatd:{PASSWORD}@127.0.0.1:1/0"


CASES: Final[dict[str, Case]] = {
    "PostgreSQL is away": Case(
        ["migrate"], at("database_url", away("postgresql")), 1, ["PostgreSQL at 127.0.0.1:1 "]
    ),
    "Cassandra is away": Case(
        ["serve"],
        lambda backends: {"cassandra_hosts": "127.0.0.1:1"},
        1,
        ["Cassandra at 127.0.0.1:1 "],
    ),
    "the first worker cannot start": Case(
        ["serve", "--workers", "3"],
        at("database_url", lambda url: f"{url}x"),
        2,
        ["PostgreSQL at 127.0.0.1:", "does not exist"],
    ),
}


def start(
    arguments: list[str], settings: dict[str, str], *, seconds: float = 20.0, pause: float = 20.0
) -> "subprocess.CompletedProcess[str]":
    """A command that waits `seconds` for backends, and `pause` after each attempt."""
    names = ["http_port", "chat_port", "presence_port"]
    ports = dict(zip(names, map(str, free_ports(3)), strict=True))
    return command(
        arguments, ports | settings, program=["-c", IMPATIENT.format(seconds=seconds, pause=pause)]
    )


def check_line(done: "subprocess.CompletedProcess[str]", code: int, *words: str) -> None:
    """One line says what is wrong; before it may be what the log has to say."""
    assert done.stdout == ""
    *logged, line = done.stderr.splitlines()
    for record in logged:
        assert "waiting up to" in json.loads(record)["message"]
    assert line.startswith("chatd: "), done.stderr
    assert done.returncode == code, line
    for word in words:
        assert word in line, line
    assert PASSWORD not in done.stderr


@pytest.fixture(scope="module")
def results(backends: Backends) -> dict[str, Any]:
    """The commands of all cases, run side by side: most of their time is the start of Python."""

    def started(name: str) -> "subprocess.CompletedProcess[str]":
        case = CASES[name]
        try:
            return start(case.arguments, backends.settings | case.settings(backends))
        except subprocess.TimeoutExpired as late:
            return subprocess.CompletedProcess(late.cmd, 0, "it has started", str(late.stderr))

    with ThreadPoolExecutor(3) as pool:
        return dict(zip(CASES, pool.map(started, CASES), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_named(name: str, results: dict[str, Any]) -> None:
    check_line(results[name], CASES[name].code, *CASES[name].words)


def test_a_backend_that_is_away_is_waited_for(backends: Backends) -> None:
    done = start(
        ["serve"],
        backends.settings | {"redis_url": f"redis://:{PASSWORD}@127.0.0.1:1/0"},
        seconds=1.2,
        pause=0.5,
    )
    *logged, line = done.stderr.splitlines()
    assert [json.loads(record)["level"] for record in logged] == ["WARNING"]
    assert "waiting up to 1.2 s for Redis at 127.0.0.1:1" in json.loads(logged[0])["message"]
    assert line.startswith("chatd: Redis at 127.0.0.1:1 was not there for 1.2 s: ")
    assert PASSWORD not in done.stderr


@pytest.mark.parametrize("workers", [1, 2])
def test_who_waits_for_a_backend_can_be_stopped(
    workers: int, backends: Backends, tmp_path: Path
) -> None:
    settings = {"redis_url": "redis://127.0.0.1:1/0"}
    node = Node(tmp_path, backends=backends, settings=settings, workers=workers)
    node.begin()
    run(until(lambda: "waiting up to 30 s for Redis" in node.log, "the wait"))
    assert node.stop() == 0
    assert "stopped before it was ready" in node.log
    assert node.complaints == []


def test_a_port_in_use_by_somebody_else(backends: Backends) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for arguments in (["serve"], ["serve", "--workers", "2"]):
            done = start([*arguments, "--chat-port", str(port)], backends.settings)
            check_line(done, 2, f"127.0.0.1:{port}", "CHATD_CHAT_PORT")


def test_two_migrations_at_once() -> None:
    with Backends(migrated=False) as backends:
        with ThreadPoolExecutor(2) as pool:
            one, other = pool.map(lambda _: backends.migrate(), range(2))
        nothing = ["everything is up to date"]
        applied = [line for line in one + other if line not in nothing]
        assert applied and len(set(applied)) == len(applied), "each file was applied once"
        assert all(
            line.startswith(("applied PostgreSQL: ", "applied Cassandra: ")) for line in applied
        )
        assert backends.migrate() == nothing


def test_the_embedded_default_is_not_migrated(tmp_path: Path) -> None:
    done = command(["migrate"], {"data_dir": str(tmp_path / "data")})
    check_line(done, 2, "CHATD_DATABASE_URL", "chatd serve")
    assert not (tmp_path / "data").exists()


def test_what_was_written_is_there_after_a_stop_and_on_another_node(
    backends: Backends, tmp_path: Path
) -> None:
    async def write(node: Node) -> Resident:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            await (await town.connect(ann)).send_direct(ben.name, "it is written")
            return ben

    async def read(node: Node, ben: Resident) -> list[str]:
        async with Town(node) as town:
            return contents([await (await town.connect(ben)).next_push(OneToOneChat)])

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with (
        Node(tmp_path / "one", backends=backends) as one,
        Node(tmp_path / "two", backends=backends) as two,
    ):
        ben = run(write(one))
        assert run(read(two, ben)) == ["it is written"]
        assert one.stop() == 0
        assert "everything is written" in one.log
        one.start()
        ben = run(write(one))
        assert one.stop() == 0
        assert run(read(two, ben)) == ["it is written"]
        assert two.stop() == 0
        assert one.complaints == two.complaints == []
        assert not one.data_dir.exists(), "there is nothing to keep in a folder"


@pytest.mark.slow
def test_a_stop_does_not_wait_for_a_backend_that_stalls(backends: Backends, tmp_path: Path) -> None:
    async def chat(node: Node) -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            await ann.send_direct(ben.user, "then it stalls")
            # With cursors and times to be stored.
            proxy.stall()

    with Proxy.before(backends.database_url) as proxy:
        settings = {"database_url": proxy.url, "drain_seconds": "0.1"}
        node = Node(tmp_path, backends=backends, settings=settings)
        node.start()
        run(chat(node))
        assert node.stop() == 0
        assert "something has not ended in time" in node.log
