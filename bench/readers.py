"""The readers of a load process: their rounds, and how they end complete."""

import asyncio
import time
from array import array
from collections.abc import Mapping
from typing import Final

from bench.connection import Load
from bench.latency import Latencies
from bench.opening import OPEN_SECONDS, Replies
from bench.plan import CameBack, Finished, Plan, Positions, Reading, Seat
from bench.reader import Reader

_SLICE_SECONDS: Final = 0.005
_SLICES: Final = 20
"""Of a round. In each of them some read, so that nobody else has to wait for all."""
_LOOKS_AT_PATIENCE: Final = 8


class Readers:
    def __init__(self, plan: Plan, replies: Replies, load: Load) -> None:
        self._plan = plan
        self._replies = replies
        self._load = load
        self._readers: dict[int, Reader] = {}
        self._rounds: list[list[Reader]] = [[] for _ in range(_SLICES)]
        self._slice = 0
        self._timer: asyncio.TimerHandle | None = None

    async def open(self, seat: Seat) -> None:
        """Connect a seat that is not TIMED.

        Raises:
            OSError: it could not.
        """
        reader = Reader(self._plan.addresses[seat.node], seat, self._replies, self._load)
        await reader.open()
        self._readers[seat.number] = reader
        if seat.reading is Reading.IN_ROUNDS:
            self._rounds[seat.number % _SLICES].append(reader)
            if self._timer is None:
                self._timer = self._next_slice()

    def numbers(self) -> Mapping[int, "array[int]"]:
        """Per seat the messages that came, in the order of arrival."""
        return {number: reader.numbers for number, reader in self._readers.items()}

    def stall(self) -> None:
        """All that are to stall read nothing from now on."""
        for reader in self._readers.values():
            if reader.seat.reading is Reading.STALLS:
                reader.stall()

    async def finish(self, counts: Mapping[int, int]) -> Finished:
        """Carry out Finish."""
        came_back: list[Reader] = []
        failures: list[str] = []

        async def complete(reader: Reader, count: int) -> None:
            reader.wake()
            try:
                while not await reader.received(count):
                    if not reader.seat.comeback:
                        failures.append(f"{reader.seat.user}: the server closed the connection")
                        return
                    came_back.append(reader)
                    await reader.come_back()
            except OSError as error:
                failures.append(_described(reader, error))

        tasks = [
            asyncio.create_task(complete(reader, counts[number]))
            for number, reader in self._readers.items()
        ]
        is_stalled = not await self._ended(tasks)
        return Finished(
            end_ns=time.monotonic_ns(),
            came_back=len(came_back),
            is_stalled=is_stalled,
            failure=failures[0] if failures else "",
        )

    def cut(self) -> Positions:
        """Carry out Cut."""
        lowest: dict[str, int] = {}
        for reader in self._readers.values():
            reader.cut()
            for name, text in reader.positions.items():
                conversation, position = name.decode(), int(text)
                lowest[conversation] = min(position, lowest.get(conversation, position))
        return Positions(lowest)

    async def come_back(self, start_ns: int) -> CameBack:
        """Carry out ComeBack."""
        latencies: list[int] = []
        failures: list[str] = []

        async def one(reader: Reader) -> None:
            began_ns = time.monotonic_ns()
            try:
                await reader.come_back()
            except OSError as error:
                failures.append(_described(reader, error))
            else:
                latencies.append((time.monotonic_ns() - began_ns) // 1000)

        await asyncio.sleep(max(start_ns - time.monotonic_ns(), 0) / 1e9)
        started_ns, cpu_ns = time.monotonic_ns(), time.process_time_ns()
        tasks = [asyncio.create_task(one(reader)) for reader in self._readers.values()]
        if not await self._ended(tasks):
            failures.append(
                f"nothing more came for {self._plan.patience_seconds:g} s,"
                f" and {len(self._readers) - len(latencies):,} had not resumed"
            )
        end_ns = time.monotonic_ns()
        return CameBack(
            end_ns=end_ns,
            latencies=Latencies(latencies),
            cpu_share=(time.process_time_ns() - cpu_ns) / (end_ns - started_ns),
            failure=failures[0] if failures else "",
        )

    def close(self) -> None:
        """Cut all connections."""
        if self._timer is not None:
            self._timer.cancel()
        for reader in self._readers.values():
            reader.cut()

    async def _ended(self, tasks: list[asyncio.Task[None]]) -> bool:
        """Wait for them; false, and they are cancelled, when nothing comes for too long."""
        waiting = set(tasks)
        last, since_ns = (-1, -1), time.monotonic_ns()
        patience_ns = self._plan.patience_seconds * 1e9
        while waiting:
            _, waiting = await asyncio.wait(
                waiting, timeout=self._plan.patience_seconds / _LOOKS_AT_PATIENCE
            )
            now = (len(waiting), sum(len(reader.numbers) for reader in self._readers.values()))
            if now != last:
                last, since_ns = now, time.monotonic_ns()
            elif time.monotonic_ns() - since_ns > patience_ns:
                break
        for task in waiting:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
        return not waiting

    def _next_slice(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(_SLICE_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = self._next_slice()
        for reader in self._rounds[self._slice]:
            reader.look()
        self._slice = (self._slice + 1) % _SLICES


def _described(reader: Reader, error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return f"{reader.seat.user}: not open in {OPEN_SECONDS} s"
    return str(error)
