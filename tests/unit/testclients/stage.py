"""A steady client and the server that does what the test says, with a clock that stands still."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from protocol import requests
from protocol.pushes import OneToOneChat, Pong
from testclients.connection_state import ConnectionState, Phase
from testclients.credentials import Credentials
from testclients.notices import Happening
from testclients.outbox import EntryState
from testclients.steady import SteadyClient
from tests.unit.testclients.hand_timer import HandTimer
from tests.unit.testclients.scripted import Peer, ScriptedServer, chat


class Stage:
    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.timer = HandTimer()
        self.states: list[ConnectionState] = []
        self.entries: list[tuple[str, EntryState]] = []
        self._moved = asyncio.Event()

    @asynccontextmanager
    async def client(
        self, credentials: Credentials | str = "token 0", **more: Any
    ) -> AsyncIterator[SteadyClient]:
        """A client that is about to connect."""
        client = SteadyClient(
            self.server.url,
            credentials,
            timer=self.timer,
            random=lambda: 1.0,
            on_state=self._note,
            on_entry=lambda entry: self.entries.append((entry.content, entry.state)),
            **more,
        )
        async with client:
            try:
                yield client
            finally:
                self.server.cut()

    @asynccontextmanager
    async def online(self, **more: Any) -> AsyncIterator[tuple[SteadyClient, Peer]]:
        """A client that has an empty chat with bob, and its connection."""
        async with self.client(**more) as client:
            peer = await self.server.accept()
            await peer.catch_up(chats=[chat()])
            await client.online()
            yield client, peer

    async def phase(self, wanted: Phase) -> ConnectionState:
        """Wait for a state; the states before it are forgotten."""
        while True:
            while self.states:
                state = self.states.pop(0)
                if state.phase is wanted:
                    return state
            self._moved.clear()
            await self._moved.wait()

    async def accept_again(self) -> Peer:
        """Let the wait for the next try pass, and take the connection."""
        await self.wait_out()
        return await self.server.accept()

    async def wait_out(self) -> None:
        """Let the wait for the next try pass."""
        state = await self.phase(Phase.WAITING)
        await self.timer.turn(state.seconds)
        while self.states and self.states[0][::2] == (Phase.WAITING, state.tries):
            del self.states[0]  # told once a second

    def _note(self, state: ConnectionState) -> None:
        self.states.append(state)
        self._moved.set()


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    async with ScriptedServer() as server:
        yield Stage(server)


async def take(client: SteadyClient, count: int) -> list[Happening]:
    return [await client.next() for _ in range(count)]


def seqs(happenings: list[Happening]) -> list[int]:
    return [item.seq for item in happenings if isinstance(item, OneToOneChat)]


async def client_is_through(client: SteadyClient, peer: Peer) -> None:
    """Wait until all that the client has sent is in `passed_over`."""
    await client.online()
    pinging = asyncio.create_task(client.ping())
    await peer.send(Pong(ref=(await peer.take(requests.Ping)).ref))
    await pinging
