"""A core behind a real socket: what a connection of the chat door does, in this process."""

import json
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from chatd.dispatch import Dispatcher, Services
from chatd.edge.connection import NodeContext
from chatd.edge.frame_limits import FrameLimits
from chatd.edge.keepalive import Keepalive
from chatd.edge.server import DoorServer
from chatd.tasks import TaskOwner
from protocol.session import Door
from tests.edge.raw import TEXT, RawClient, frame
from tests.support.builders import Core, core, direct
from tests.support.running import until

CHAT = "alice-bob"


class House(NamedTuple):
    """A core with a chat door."""

    here: Core
    port: int
    keepalive: Keepalive

    @asynccontextmanager
    async def visit(
        self, username: str, path: str = "/", *, reads_ahead: bool = True
    ) -> AsyncIterator[RawClient]:
        """A client of the user that has read its INFO and is subscribed."""
        token = self.here.tokens.sign(username, "device", self.here.clock.now_ms())
        async with await RawClient.connect(self.port, reads_ahead=reads_ahead) as client:
            await client.open(path, headers={"Authorization": f"Bearer {token}"})
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
async def house(folder: Path, *, has_limits: bool = False) -> AsyncIterator[House]:
    """Alice and bob have accounts; with limits frames may not come as fast as they like."""
    async with core(folder, "alice", "bob") as here:
        keepalive, tasks = Keepalive(), TaskOwner()
        services = Services(
            messages=here.messages,
            changes=here.changes,
            conversations=here.conversations,
            resumes=here.resumes,
            receipts=here.receipts,
            typing_status=here.typing_status,
            histories=here.histories,
            bootstrap=here.bootstrap,
            presence=here.presence,
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
            FrameLimits() if has_limits else None,
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


async def hear(client: RawClient) -> Any:
    """The next frame that the server sends."""
    return json.loads(await client.text())
