"""`python -m testclients` in scripts, as people use it: against a node with the demo users."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from testclients import http
from testclients.client import ChatClient
from tests.support.loop import run
from tests.support.node import ROOT, Node

EXIT_REFUSED, EXIT_USAGE, EXIT_NO_CONNECTION, EXIT_TOO_FEW = 1, 2, 3, 4


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("node"), demo=True) as node:
        yield node
        assert node.complaints == []


def chat(
    node: Node, user: str, *arguments: str, password: str = "password123", lines: str = ""
) -> "subprocess.CompletedProcess[str]":
    """One run of the client, with `lines` as its standard input."""
    where = ["--server", node.http_url, "--chat-url", node.chat_url, "--user", user]
    return subprocess.run(
        [sys.executable, "-m", "testclients", *where, *arguments],
        cwd=ROOT,
        env=os.environ | {"CHATD_PASSWORD": password, "PYTHONIOENCODING": "utf-8"},
        input=lines,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def frames(done: "subprocess.CompletedProcess[str]", kind: str) -> list[Any]:
    """The frames of one type that a run with --json has printed."""
    assert done.stderr == ""
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    return [frame for frame in printed if frame["type"] == kind]


def settle(node: Node, *names: str) -> None:
    """Users of one test alone."""

    async def main() -> None:
        for name in names:
            await http.register(node.http_url, name, "password123")

    run(main())


def test_two_chat_directly_and_one_finds_on_return_what_it_missed(node: Node) -> None:
    settle(node, "ann", "ben")
    sent = chat(node, "ann", "--to", "ben", "--send", "hello ben", "--json")
    assert sent.returncode == 0
    (ack,) = frames(sent, "SUCCESS")
    assert (ack["seq"], ack["chatId"]) == (1, "ann-ben")
    lines = chat(node, "ann", "--to", "ben", "--json", lines="second\n\nthird: grüße\n")
    assert lines.returncode == 0
    assert [ack["seq"] for ack in frames(lines, "SUCCESS")] == [2, 3]

    returned = chat(node, "ben", "--to", "ann", "--until", "3", "--json")
    assert returned.returncode == 0
    messages = frames(returned, "ONE_TO_ONE_CHAT")
    assert [message["content"] for message in messages] == ["hello ben", "second", "third: grüße"]
    assert all(message["offline"] for message in messages)
    assert messages[0]["id"] == ack["id"]

    # A run that only sends cuts its connection: what waits for its user goes on waiting.
    answer = chat(node, "ben", "--to", "ann", "--send", "hello ann")
    assert answer.returncode == 0
    again = chat(node, "ben", "--to", "ann", "--wait", "0", "--json")
    assert frames(again, "ONE_TO_ONE_CHAT") == [], "nothing comes twice"
    back = chat(node, "ann", "--until", "1", "--json")
    (message,) = frames(back, "ONE_TO_ONE_CHAT")
    assert (message["content"], message["seq"]) == ("hello ann", 4)


def test_alice_and_bob_meet_in_the_demo_group(node: Node) -> None:
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(chat, node, "bob", "--group", "demo", "--until", "2", "--json")

        async def say_when_bob_is_here() -> None:
            login = await http.login(node.http_url, "alice", "password123")
            async with ChatClient.connect(node.chat_url, login.token) as alice:
                await alice.subscribe_presence(["bob"])
                await alice.next_push(
                    lambda frame: (
                        getattr(frame, "username", "") == "bob"
                        and getattr(frame, "status", "") == "ONLINE"
                    ),
                    timeout=15,
                )
                (group,) = (await alice.init_data()).groups
                assert group.name == "demo"
                await alice.send_group(group.group_id, "one")
                await alice.send_group(group.group_id, "two")

        run(say_when_bob_is_here())
        done = waiting.result()
    assert done.returncode == 0
    messages = frames(done, "GROUP_CHAT")
    assert [(message["from"], message["content"]) for message in messages] == [
        ("alice", "one"),
        ("alice", "two"),
    ]
    charlie = chat(node, "charlie", "--group", "demo", "--until", "2")
    assert charlie.returncode == 0
    assert "one" in charlie.stdout and "two" in charlie.stdout


def test_what_is_printed_for_people(node: Node) -> None:
    settle(node, "carol", "david")
    done = chat(node, "carol", "--to", "david", "--send", "nice\x1b[31m to meet you")
    assert done.returncode == 0
    assert done.stdout.strip()
    read = chat(node, "david", "--until", "1")
    assert read.returncode == 0
    assert "carol" in read.stdout and "to meet you" in read.stdout
    assert "\x1b" not in read.stdout, "what others write does not reach the terminal as a command"


def test_registering_on_the_way(node: Node) -> None:
    done = chat(node, "newcomer", "--register", "--to", "alice", "--send", "hi", "--json")
    assert done.returncode == 0
    assert len(frames(done, "SUCCESS")) == 1
    again = chat(node, "newcomer", "--register", "--wait", "0")
    assert (again.returncode, again.stdout) == (EXIT_REFUSED, "")
    assert "USERNAME_TAKEN" in again.stderr


def test_exit_codes(node: Node) -> None:
    settle(node, "erika", "frank")
    runs = {
        "wrong password": (["--wait", "0"], "not the password", EXIT_REFUSED),
        "nobody": (["--to", "nobody.here", "--send", "x"], "password123", EXIT_REFUSED),
        "no group": (["--group", "no such group", "--send", "x"], "password123", EXIT_REFUSED),
        "too few": (
            ["--to", "frank", "--until", "1", "--wait", "0.1"],
            "password123",
            EXIT_TOO_FEW,
        ),
        "nowhere to send": (["--send", "x"], "password123", EXIT_USAGE),
        "both": (["--to", "frank", "--group", "demo", "--send", "x"], "password123", EXIT_USAGE),
        "no server": (
            ["--wait", "0", "--server", "http://127.0.0.1:1"],
            "password123",
            EXIT_NO_CONNECTION,
        ),
        "fine": (["--wait", "0"], "password123", 0),
    }
    with ThreadPoolExecutor(3) as pool:
        done = pool.map(
            lambda given: chat(node, "erika", *given[0], password=given[1]), runs.values()
        )
    for (name, (_, _, code)), result in zip(runs.items(), done, strict=True):
        assert result.returncode == code, (name, result.stderr)
        assert bool(result.stderr) is (code in (1, 2, 3)), name
        assert "Traceback" not in result.stderr
        assert "password123" not in result.stderr + result.stdout


def test_a_node_that_dies_is_a_lost_connection(node: Node) -> None:
    settle(node, "gerda")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(chat, node, "gerda", "--until", "1")

        async def wait_until_it_is_here() -> None:
            token = node.token("alice")
            async with ChatClient.connect(node.chat_url, token) as alice:
                while not (await alice.history_direct("gerda")).is_online:
                    if node.metric("chatd_connections") > 1:
                        return

        run(wait_until_it_is_here())
        node.kill()
        done = waiting.result()
        node.start()
    assert done.returncode == EXIT_NO_CONNECTION
    assert "Traceback" not in done.stderr
