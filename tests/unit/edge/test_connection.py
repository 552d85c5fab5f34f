"""chatd.edge.connection: what a connection confirms as delivered, and what it answers."""

import json
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from chatd.dispatch import Dispatcher, Services
from chatd.edge.connection import NodeContext
from chatd.edge.keepalive import Keepalive
from chatd.edge.server import DoorServer
from chatd.services.presence import PING_SECONDS, PONG_SECONDS
from chatd.tasks import TaskOwner
from protocol.close import CloseCode
from protocol.session import Door
from tests.edge.raw import CLOSE, PING, PONG, TEXT, RawClient, close, frame
from tests.support.builders import Core, core, direct
from tests.support.running import on_a_loop, until

CHAT = "alice-bob"


class House(NamedTuple):
    """A core with a chat door."""

    here: Core
    port: int
    keepalive: Keepalive

    @asynccontextmanager
    async def visit(self, username: str) -> AsyncIterator[RawClient]:
        """A client of the user that has read its INFO and is subscribed."""
        token = self.here.tokens.sign(username, "device", self.here.clock.now_ms())
        async with await RawClient.connect(self.port) as client:
            await client.open(headers={"Authorization": f"Bearer {token}"})
            assert json.loads(await client.text())["type"] == "INFO"
            await say(client, type="PING")
            assert json.loads(await client.text())["type"] == "PONG"
            yield client

    def pass_seconds(self, seconds: int) -> None:
        for _ in range(seconds):
            self.keepalive.turn()

    async def deliver(self, client: RawClient, *texts: str) -> None:
        """Messages of alice that the client reads."""
        await self.here.submit(*(direct("alice", "bob", text) for text in texts))
        for text in texts:
            assert json.loads(await client.text())["content"] == text

    async def delivered(self) -> int:
        """Bob's delivered cursor, once nobody is connected."""
        await until(lambda: self.here.metrics.connections == 0)
        return self.here.receipts.known(CHAT, "bob", 0)


@asynccontextmanager
async def house(folder: Path) -> AsyncIterator[House]:
    async with core(folder, "alice", "bob") as here:
        keepalive, tasks = Keepalive(), TaskOwner()
        services = Services(
            here.messages, here.conversations, here.histories, here.bootstrap, here.presence
        )
        context = NodeContext(
            Dispatcher(services),
            here.subscriptions,
            here.presence,
            here.receipts,
            keepalive,
            here.clock,
            here.metrics,
            tasks,
            "log",
        )
        door = DoorServer(Door.CHAT, here.accounts, context, allowed_origins=[], max_connections=10)
        listener = sockets.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        await door.listen(listener)
        try:
            yield House(here, listener.getsockname()[1], keepalive)
        finally:
            await door.drain(0)
            await until(lambda: here.metrics.connections == 0)
            await tasks.finish(1)


async def say(client: RawClient, **fields: Any) -> None:
    await client.send(frame(TEXT, json.dumps(fields).encode()))


@on_a_loop
async def test_a_pong_confirms_what_came_before_its_ping(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.visit("bob") as bob:
        await home.deliver(bob, "1", "2")
        home.pass_seconds(PING_SECONDS)
        assert (await bob.frame()).opcode == PING
        await home.deliver(bob, "after the ping")
        assert home.here.receipts.known(CHAT, "bob", 0) == 0
        await bob.send(frame(PONG))
        await until(lambda: home.here.receipts.known(CHAT, "bob", 0) == 2)


@on_a_loop
async def test_a_clean_close_confirms_everything(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        async with home.visit("bob") as bob:
            await home.deliver(bob, "1", "2", "3")
            await bob.send(close())
            assert await bob.close_code() == 1000
        assert await home.delivered() == 3


@on_a_loop
async def test_a_cut_confirms_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        async with home.visit("bob") as bob:
            await home.deliver(bob, "1", "2")
        assert await home.delivered() == 0


@on_a_loop
async def test_a_cut_after_a_ping_without_its_pong_confirms_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        async with home.visit("bob") as bob:
            await home.deliver(bob, "1", "2")
            home.pass_seconds(PING_SECONDS)
            assert (await bob.frame()).opcode == PING
        assert await home.delivered() == 0


@on_a_loop
async def test_a_cut_keeps_what_an_earlier_pong_confirmed(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        async with home.visit("bob") as bob:
            await home.deliver(bob, "1", "2")
            home.pass_seconds(PING_SECONDS)
            assert (await bob.frame()).opcode == PING
            await bob.send(frame(PONG))
            await until(lambda: home.here.receipts.known(CHAT, "bob", 0) == 2)
            await home.deliver(bob, "3")
        assert await home.delivered() == 2


@on_a_loop
async def test_without_a_pong_in_time_the_connection_is_closed(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.visit("bob") as bob:
        home.pass_seconds(PING_SECONDS + PONG_SECONDS)
        assert (await bob.frame()).opcode == PING
        answer = await bob.frame()
        assert (answer.opcode, answer.code) == (CLOSE, CloseCode.INTERNAL_ERROR)
        assert home.here.metrics.keepalive_timeouts == 1


@on_a_loop
async def test_a_pong_in_time_keeps_the_connection(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.visit("bob") as bob:
        for _ in range(3):
            home.pass_seconds(PING_SECONDS - PONG_SECONDS)
            home.pass_seconds(PONG_SECONDS)
            assert (await bob.frame()).opcode == PING
            await bob.send(frame(PONG))
            # An answer shows that the pong was read.
            await say(bob, type="PING", ref="r")
            assert json.loads(await bob.text()) == {"type": "PONG", "ref": "r"}
        assert home.here.metrics.keepalive_timeouts == 0


@on_a_loop
async def test_a_pong_that_nobody_asked_for_confirms_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.visit("bob") as bob:
        await home.deliver(bob, "1")
        await bob.send(frame(PONG))
        await say(bob, type="PING")
        assert json.loads(await bob.text())["type"] == "PONG"
        assert home.here.receipts.known(CHAT, "bob", 0) == 0


@on_a_loop
async def test_posts_are_answered_in_their_order(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.visit("bob") as bob:
        for n in range(40):
            await say(bob, type="ONE_TO_ONE_CHAT", to="alice", content=f"{n}", ref=f"{n}")
        replies = [json.loads(await bob.text()) for _ in range(40)]
        assert [(reply["ref"], reply["seq"]) for reply in replies] == [
            (f"{n}", n + 1) for n in range(40)
        ]


@on_a_loop
async def test_other_requests_are_answered_one_after_the_other(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.visit("bob") as bob:
        await say(bob, type="ONE_TO_ONE_CHAT", to="alice", content="1", ref="post")
        for n in range(5):
            await say(bob, type="INIT_DATA", ref=f"{n}")
        refs = [json.loads(await bob.text())["ref"] for _ in range(6)]
        assert [ref for ref in refs if ref != "post"] == [f"{n}" for n in range(5)]


@on_a_loop
async def test_what_cannot_be_decoded_is_answered_and_ten_in_a_row_end_it(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.visit("bob") as bob:
        for _ in range(9):
            await bob.send(frame(TEXT, b"{"))
            assert json.loads(await bob.text())["code"] == "MALFORMED_FRAME"
        await say(bob, type="PING")
        await bob.text()
        for _ in range(10):
            await say(bob, type="NO_SUCH_THING", ref="r")
            answer = json.loads(await bob.text())
            assert (answer["code"], answer["ref"]) == ("UNKNOWN_TYPE", "r")
        assert (await bob.frame()).code == CloseCode.PROTOCOL_ABUSE


@on_a_loop
async def test_a_token_that_ends_closes_the_connection(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        now_ms = home.here.clock.now_ms()
        token = home.here.tokens.sign("bob", "device", now_ms, lifetime=PING_SECONDS + 5)
        async with await RawClient.connect(home.port) as bob:
            await bob.open(f"/?authToken={token}")
            await bob.text()
            await say(bob, type="PING")
            await bob.text()
            home.here.clock.advance(PING_SECONDS + 5)
            home.pass_seconds(PING_SECONDS)
            assert (await bob.frame()).opcode == PING
            assert (await bob.frame()).code == CloseCode.TOKEN_EXPIRED


@on_a_loop
async def test_who_answers_neither_ping_nor_close_is_offline_at_once(tmp_path: Path) -> None:
    async with house(tmp_path) as home, home.visit("bob") as bob:
        home.pass_seconds(PING_SECONDS)
        assert (await bob.frame()).opcode == PING
        assert await home.here.leases.online(["bob"])
        home.pass_seconds(PONG_SECONDS)
        assert (await bob.frame()).opcode == CLOSE
        # The close frame has arrived; the socket still waits for the answer that will not come.
        assert not await home.here.leases.online(["bob"])
        assert home.here.metrics.connections == 1
