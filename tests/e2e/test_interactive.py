"""The terminal client as a person uses it: on a pseudo-terminal, with a node that goes away."""

import asyncio
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from protocol.pushes import (
    MessageDeleted,
    MessageEdited,
    OneToOneChat,
    Reaction,
    ReadReceipt,
    Typing,
)
from testclients import http
from testclients.client import ChatClient
from testclients.events import Where
from tests.support.loop import run
from tests.support.node import ROOT, Node

SECONDS = 15.0
PASSWORD = "password123"
CTRL_D = "\x04"


class Terminal:
    """A process on a terminal of its own."""

    def __init__(self, fd: int, process: "subprocess.Popen[bytes]") -> None:
        self._fd = fd
        self._process = process
        self._seen = b""

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    async def shows(self, text: str) -> None:
        """Wait until it has printed `text` after what was waited for before."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._fd, ready.set)
        try:
            async with asyncio.timeout(SECONDS):
                while text.encode() not in self._seen:
                    await ready.wait()
                    ready.clear()
                    self._seen += os.read(self._fd, 65_536)
        except TimeoutError:
            raise AssertionError(f"not shown: {text!r}; but: {self._seen.decode()!r}") from None
        finally:
            loop.remove_reader(self._fd)
        self._seen = self._seen.partition(text.encode())[2]

    async def ends(self) -> int:
        return await asyncio.to_thread(self._process.wait, SECONDS)


@contextmanager
def terminal(node: Node, user: str, *arguments: str) -> Iterator[Terminal]:
    """The client of a user, interactive."""
    where = ["--server", node.http_url, "--chat-url", node.chat_url, "--user", user]
    controller, fd = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "testclients", *where, *arguments],
        cwd=ROOT,
        env=os.environ | {"CHATD_PASSWORD": PASSWORD, "TERM": "xterm"},
        stdin=fd,
        stdout=fd,
        stderr=fd,
    )
    os.close(fd)
    try:
        yield Terminal(controller, process)
    finally:
        process.kill()
        process.wait()
        os.close(controller)


async def other_side(node: Node, name: str) -> ChatClient:
    login = await http.register(node.http_url, name, PASSWORD)
    return await ChatClient.connect(node.chat_url, login.token)


@pytest.mark.slow
def test_a_conversation(node: Node) -> None:
    async def main() -> None:
        await http.register(node.http_url, "alice", PASSWORD)
        async with await other_side(node, "bob") as bob:
            first = await bob.send_direct("alice", "hello there")
            assert first.id is not None
            where = Where(chat_id="alice-bob")
            with terminal(node, "alice", "--to", "bob") as alice:
                await alice.shows("bob: hello there")
                assert (await bob.next_push(ReadReceipt)).seq == 1, "it was opened"
                await bob.typing(where, True)
                await alice.shows("(bob is typing) bob> ")
                await bob.edit(where, first.id, "hello you")
                await alice.shows("* bob edited “hello there”: hello you")
                alice.type("hi")
                assert (await bob.next_push(Typing)).is_typing
                alice.type(" bob\n")
                message = await bob.next_push(OneToOneChat)
                assert message.content == "hi bob"
                assert not (await bob.next_push(Typing)).is_typing
                await alice.shows("alice: hi bob")
                await bob.mark_read(where, message.seq)
                await alice.shows("* seen by bob")
                alice.type("/edit hi dear bob\n")
                assert (await bob.next_push(MessageEdited)).content == "hi dear bob"
                alice.type("/react 👍\n")
                assert (await bob.next_push(Reaction)).id == message.id
                alice.type("/delete\n")
                assert (await bob.next_push(MessageDeleted)).id == message.id
                await alice.shows("* alice deleted “hi dear bob”")
                alice.type("/read\n")
                assert (await bob.next_push(ReadReceipt)).seq == 6
                alice.type("/edit something\n")
                await alice.shows("! you have said nothing here lately")
                alice.type(CTRL_D)
                assert await alice.ends() == 0

    run(main())


@pytest.mark.slow
def test_what_is_typed_while_the_node_is_away_is_sent_when_it_is_back(node: Node) -> None:
    async def main() -> None:
        for name in ("carol", "dave"):
            await http.register(node.http_url, name, PASSWORD)
        with terminal(node, "carol", "--to", "dave") as carol:
            await carol.shows("--- dave")
            await asyncio.to_thread(node.kill)
            await carol.shows("next try in ")
            carol.type("are you there?\n")
            await carol.shows("* not sent yet: are you there?")
            carol.type("/list\n")
            await carol.shows("! not connected: nothing was sent")
            await asyncio.to_thread(node.start)
            await carol.shows("* connected again")
            await carol.shows("carol: are you there?")
            login = await http.login(node.http_url, "dave", PASSWORD)
            async with ChatClient.connect(node.chat_url, login.token) as dave:
                assert (await dave.next_push(OneToOneChat)).content == "are you there?"
            carol.type(CTRL_D)
            assert await carol.ends() == 0

    run(main(), seconds=60)


@pytest.mark.slow
def test_a_device_that_is_logged_out_is_told_and_ends(node: Node) -> None:
    async def main() -> None:
        login = await http.register(node.http_url, "erin", PASSWORD)
        with terminal(node, "erin") as erin:
            await erin.shows("> ")
            await http.logout(node.http_url, login.token, everywhere=True)
            await erin.shows("connection lost: 4501 token revoked")
            assert await erin.ends() == 3

    run(main())
