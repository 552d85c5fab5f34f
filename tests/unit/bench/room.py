"""A chat server for tests of the load: it does everything right, or what a test wants instead."""

import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bench import wire
from bench.plan import Dialect, Plan, Reading, Seat, Step
from bench.shapes import PairsShape, Shape

MESSAGES = 40
_CLOSE_SECONDS = 0.1
DIALECT = Dialect(
    ack=rb'"ok":(\d+)',
    refusal=rb'"bad":[^}]*',
    event=rb'"n":(\d+),"to":"([^"]*)"',
    resume='{"have":%(positions)s}',
    resumed=b'{"back":1',
)


class Room:
    """Everybody gets everything but the sender, who gets an ack. Who comes back and says what it
    has gets the rest of what was to everybody."""

    def __init__(self) -> None:
        self.connections: dict[str, ServerConnection] = {}
        self.copies: Counter[int] = Counter()
        """How many more or fewer times than once a message goes to user1."""
        self.held: int | None = None
        """The message that user1 gets only after the next one."""
        self.refused: int | None = None
        self.unacked: int | None = None
        self.closes_at: int | None = None
        self.closed_at: dict[int, str] = {}
        """By message, who is closed instead of getting it."""
        self.takes_nobody_back = False
        self.told: list[tuple[int, str]] = []
        """Number and text of what was to everybody."""
        self._kept = ""

    async def handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        user, _, comeback = connection.request.path[1:].partition("?")
        if not comeback:
            self.connections[user] = connection
        await connection.send('{"hello":1}')
        await connection.ping()
        try:
            async for text in connection:
                assert isinstance(text, str)
                if comeback:
                    await self._take_back(user, connection, json.loads(text)["have"].get("", -1))
                else:
                    await self._post(user, text)
        except ConnectionClosed:
            pass  # a client that was cut

    async def _take_back(self, user: str, connection: ServerConnection, position: int) -> None:
        if self.takes_nobody_back:
            await connection.send('{"bad":"stay away"}')
            return
        for number, text in self.told:
            if number > position:
                await connection.send(text)
        self.connections[user] = connection
        await connection.send('{"back":1}')

    async def _post(self, user: str, text: str) -> None:
        post = json.loads(text)
        number = post["n"]
        if number == self.refused:
            await self.connections[user].send('{"bad":"too fast"}')
            return
        if number == self.closes_at:
            await self.connections[user].close(4008, "slow consumer")
            return
        if not post["to"]:
            self.told.append((number, text))
        if self.closed_at.get(number) is not None:
            await self.connections.pop(self.closed_at[number]).close(4008, "slow consumer")
        for name, connection in tuple(self.connections.items()):
            if name != user and post["to"] in ("", name):
                try:
                    await self._deliver(name, connection, number, text)
                except ConnectionClosed:
                    self.connections.pop(name, None)
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
        return users[seat ^ 1] if isinstance(shape, PairsShape) else ""

    return Plan(
        addresses=(address,),
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


def with_readers(whole: Plan, readings: Sequence[Reading]) -> Plan:
    """The plan with the last seats reading like this."""
    first = len(whole.seats) - len(readings)
    seats = [
        replace(seat, reading=reading, comeback=wire.upgrade("h", f"/{seat.user}?resume=1", {}))
        for seat, reading in zip(whole.seats[first:], readings, strict=True)
    ]
    return replace(whole, seats=(*whole.seats[:first], *seats))


@asynccontextmanager
async def serving(room: Room) -> AsyncIterator[Server]:
    # Who reads nothing does not answer a close either.
    async with serve(
        room.handle, "127.0.0.1", 0, compression=None, close_timeout=_CLOSE_SECONDS
    ) as server:
        yield server


def plans(
    server: Server, shape: Shape, seats: int, processes: int, rate: float = 0.0
) -> list[Plan]:
    """The same, shared by several load processes."""
    whole = plan(server, shape, seats, rate)
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
