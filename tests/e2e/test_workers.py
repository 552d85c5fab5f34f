"""Several processes on the same ports, and processes that have some of the roles."""

import json
import os
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from protocol.pushes import GroupChat
from tests.e2e.town import Town, contents, take
from tests.support.backends import Backends
from tests.support.loop import run, until
from tests.support.node import Node, children, free_ports

WORKERS: Final = 2


@pytest.fixture(scope="module")
def own_ports() -> list[int]:
    """Each worker's own HTTP, one after the other."""
    while True:
        (first,) = free_ports(1)
        ports = [first + number for number in range(WORKERS)]
        if all(_is_free(port) for port in ports):
            return ports


@pytest.fixture(scope="module")
def crew(
    backends: Backends, own_ports: list[int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    """A supervisor with its workers, for the tests of this module."""
    settings = {"own_http_port": str(own_ports[0])}
    folder = tmp_path_factory.mktemp("crew")
    with Node(folder, backends=backends, settings=settings, workers=WORKERS) as node:
        yield node
        assert node.stop() == 0
        assert node.complaints == []


def ready(port: int) -> dict[str, Any]:
    """The details of readiness; those of a process that is not ready too."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as reply:
            details: dict[str, Any] = json.load(reply)
    except urllib.error.HTTPError as error:
        details = json.load(error)
    return details


def records(node: Node) -> list[dict[str, Any]]:
    return [json.loads(line) for line in node.log.splitlines()]


def pid_of(node: Node, worker: int) -> int:
    """The process of a worker, by the command line that it was started with."""
    (found,) = [
        pid for pid, words in children(node.pid).items() if words[-2:] == ["--worker", str(worker)]
    ]
    return found


def test_each_worker_can_be_asked_by_its_own_port(crew: Node, own_ports: list[int]) -> None:
    details = [ready(port) for port in own_ports]
    assert [one["worker"] for one in details] == [1, 2]
    assert {one["status"] for one in details} == {"ready"}
    assert details[0]["node"] != details[1]["node"]
    assert ready(crew.http_port)["worker"] in (1, 2)
    with urllib.request.urlopen(f"http://127.0.0.1:{own_ports[1]}/metrics", timeout=10) as reply:
        assert b"\nchatd_worker 2\n" in reply.read()


def test_each_worker_logs_with_its_number(crew: Node) -> None:
    ready_lines = [record for record in records(crew) if " is ready: " in record["message"]]
    assert sorted(record["worker"] for record in ready_lines) == [1, 2]
    (all_ready,) = [record for record in records(crew) if "workers are ready" in record["message"]]
    assert "worker" not in all_ready, "the supervisor has none"


def test_users_of_all_workers_are_together(crew: Node, own_ports: list[int]) -> None:
    async def main() -> None:
        async with Town(crew) as town:
            everyone = await town.settle_all(*["member"] * 12)
            clients = await town.connect_all(*everyone)
            used = [_metric(port, "chatd_connections") for port in own_ports]
            assert sum(used) == len(clients)
            assert all(used), "the kernel deals connections out to both"
            made = await clients[0].create_group("all", [who.name for who in everyone[1:]])
            assert made.group_id is not None
            for number, client in enumerate(clients):
                await client.send_group(made.group_id, f"by {number}")
            wanted = {f"by {number}" for number in range(len(clients))}
            for number, client in enumerate(clients):
                heard = await take(client, GroupChat, len(clients) - 1)
                assert set(contents(heard)) == wanted - {f"by {number}"}

    run(main())


def test_a_worker_that_dies_is_started_again_and_the_others_go_on(
    crew: Node, own_ports: list[int]
) -> None:
    async def main() -> None:
        async with Town(crew) as town:
            ann, ben = await town.settle_all("ann", "ben")
            before = ready(own_ports[1])["node"]
            os.kill(pid_of(crew, 2), signal.SIGKILL)
            ended = "worker 2 ended with SIGKILL; it is started again"
            await until(lambda: ended in crew.log, ended)
            for _ in range(5):
                await (await town.connect(ann)).send_direct(ben.name, "while it is away")
            await until(lambda: _node_of(own_ports[1]) not in (before, None), "it is back")

    run(main())
    assert [record["worker"] for record in records(crew) if " is ready: " in record["message"]][
        -1
    ] == 2


def test_a_worker_stops_when_its_supervisor_is_killed(backends: Backends, tmp_path: Path) -> None:
    with Node(tmp_path, backends=backends, workers=WORKERS) as node:
        os.kill(node.pid, signal.SIGKILL)

        def stopped() -> bool:
            messages = [record["message"] for record in records(node)]
            return messages.count("stopped; everything is written") == WORKERS

        run(until(stopped, "every worker has stopped"))
        assert _is_free(node.chat_port)


@pytest.mark.parametrize("role", ["http", "chat", "presence"])
def test_only_the_doors_of_the_roles_are_open(
    role: str, backends: Backends, tmp_path: Path
) -> None:
    with Node(tmp_path, backends=backends, roles=[role]) as node:
        ports = {
            "http": int(node.settings["http_port"]),
            "chat": node.chat_port,
            "presence": node.presence_port,
        }
        assert {name for name, port in ports.items() if not _is_free(port)} == {role}
        details = ready(node.http_port)
        assert details["status"] == "ready"
        assert details["roles"] == {"http": True, role: True}
        assert node.stop() == 0
        assert node.complaints == []


def test_a_chat_node_and_an_http_node_make_one_service(backends: Backends, tmp_path: Path) -> None:
    for name in ("http", "chat"):
        (tmp_path / name).mkdir()

    async def main(http: Node, chat: Node) -> None:
        async with Town(http) as office, Town(chat) as town:
            ann, ben = await office.settle_all("ann", "ben")
            one, other = await town.connect_all(ann, ben)
            await one.send_direct(ben.name, "hi")
            assert contents([await other.next_push()]) == ["hi"]

    with (
        Node(tmp_path / "http", backends=backends, roles=["http"]) as http,
        Node(tmp_path / "chat", backends=backends, roles=["chat", "presence"]) as chat,
    ):
        run(main(http, chat))
        assert http.complaints == chat.complaints == []


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _metric(port: int, name: str) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        for line in reply.read().decode().splitlines():
            found, _, value = line.partition(" ")
            if found == name:
                return int(value)
    raise LookupError(name)


def _node_of(port: int) -> str | None:
    """The process that answers there, if one does."""
    try:
        node: str = ready(port)["node"]
    except OSError:
        return None
    return node
