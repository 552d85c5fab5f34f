"""Pings for all connections from one timer.

A wheel with one slot per second of the ping interval: each tick pings the connections of one slot
and looks whether those that were pinged `PONG_SECONDS` ago have answered. A connection costs a
place in a dict, no timer.
"""

import asyncio
from typing import Protocol

from chatd.services.presence import PING_SECONDS, PONG_SECONDS


class Pinged(Protocol):
    def ping(self) -> None:
        """Send a ping."""
        ...

    def check_pong(self) -> None:
        """The time for the pong is over."""
        ...


class Keepalive:
    def __init__(self) -> None:
        self._slots: list[dict[Pinged, None]] = [{} for _ in range(PING_SECONDS)]
        self._tick = 0
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._timer = self._loop.call_later(1, self._on_timer)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def add(self, connection: Pinged) -> int:
        """Ping the connection from now on, first after one interval; its slot, for `remove`."""
        slot = self._tick % PING_SECONDS
        self._slots[slot][connection] = None
        return slot

    def remove(self, connection: Pinged, slot: int) -> None:
        self._slots[slot].pop(connection, None)

    def turn(self) -> None:
        """One second has passed."""
        self._tick += 1
        for connection in tuple(self._slots[(self._tick - PONG_SECONDS) % PING_SECONDS]):
            connection.check_pong()
        for connection in tuple(self._slots[self._tick % PING_SECONDS]):
            connection.ping()

    def _on_timer(self) -> None:
        self._timer = self._loop.call_later(1, self._on_timer)
        self.turn()
