"""A chat server for tests of the load: it does everything right, or what a test wants instead."""

import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from websockets.asyncio.server import Server, ServerConnection, serve

from bench import wire
from bench.plan import Dialect, GroupShape, Plan, Seat, Shape, Step

MESSAGES = 40
DIALECT = Dialect(ack=rb'"ok":(\d+)', refusal=rb'"bad":[^}]*')


class Room:
    """Everybody gets everything but the sender, who gets an ack."""

    def __init__(self) -> None:
        self.connections: dict[str, ServerConnection] = {}
        self.copies: Counter[int] = Counter()
        """How many more or fewer times than once a message goes to user1."""
        self.held: int | None = None
        """The message that user1 gets only after the next one."""
        self.refused: int | None = None
        self.unacked: int | None = None
        self.closes_at: int | None = None
        self._kept = ""

    async def handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        user = connection.request.path[1:]
        self.connections[user] = connection
        await connection.send('{"hello":1}')
        await connection.ping()
        async for text in connection:
            assert isinstance(text, str)
            await self._post(user, text)

    async def _post(self, user: str, text: str) -> None:
        post = json.loads(text)
        number = post["n"]
        if number == self.refused:
            await self.connections[user].send('{"bad":"too fast"}')
            return
        if number == self.closes_at:
            await self.connections[user].close(4008, "slow consumer")
            return
        for name, connection in self.connections.items():
            if name != user and post["to"] in ("", name):
                await self._deliver(name, connection, number, text)
        if number != self.unacked:
            await self.connections[user].send(f'{{"ok":{number}}}')

    async def _deliver(
        self, name: str, connection: ServerConnection, number: int, text: str
    ) -> None:
        if name != "user1":
            await connection.send(text)
        elif number == self.held:
            self._kept = text
        else:
            for _ in range(1 + self.copies[number]):
                await connection.send(text)
            if self._kept:
                await connection.send(self._kept)
                self._kept = ""


def plan(server: Server, shape: Shape, seats: int, rate: float = 0.0) -> Plan:
    address = next(iter(server.sockets)).getsockname()
    users = [f"user{n}" for n in range(seats)]

    def to(seat: int) -> str:
        return "" if isinstance(shape, GroupShape) else users[seat ^ 1]

    return Plan(
        address=address,
        dialect=DIALECT,
        seats=tuple(
            Seat(
                n,
                users[n],
                wire.upgrade("h", f"/{users[n]}", {}),
                (Step("", b"hello"),),
                f'{{"n":%(number)d,"to":"{to(n)}","content":"%(content)s"}}',
            )
            for n in range(seats)
        ),
        shape=shape,
        messages=MESSAGES,
        rate=rate,
        size=200,
        base_ns=time.monotonic_ns(),
        patience_seconds=0.4,
        process=0,
        processes=1,
        core=None,
    )


@asynccontextmanager
async def serving(room: Room) -> AsyncIterator[Server]:
    async with serve(room.handle, "127.0.0.1", 0, compression=None) as server:
        yield server


def plans(server: Server, shape: Shape, seats: int, processes: int) -> list[Plan]:
    """The same, shared by several load processes."""
    whole = plan(server, shape, seats)
    return [
        replace(
            whole,
            seats=tuple(
                seat for seat in whole.seats if shape.process_of(seat.number, processes) == process
            ),
            process=process,
            processes=processes,
        )
        for process in range(processes)
    ]
