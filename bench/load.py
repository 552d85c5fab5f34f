"""A load process: opens connections, runs a generator, and gives an account of what arrived."""

import asyncio
import gc
import os
import resource
import signal
import sys
import time
from array import array
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any, Final

import uvloop

from bench import wire
from bench.connection import Receiver
from bench.generator import Generator
from bench.markers import NUMBER
from bench.opening import OPEN_SECONDS, Replies, open_connection
from bench.plan import (
    Answer,
    Collect,
    Collected,
    ComeBack,
    Command,
    Cut,
    Ended,
    Finish,
    Open,
    Opened,
    Plan,
    Reading,
    Run,
    Seat,
)
from bench.readers import Readers

_AT_ONCE: Final = 64
"""Connections that are being opened."""
_LINGER_SECONDS: Final = 0.1
"""How long what comes too often may come late."""


def main(plan: Plan, commands: Connection, inbox: Connection, outboxes: list[Connection]) -> None:
    """Serve commands until the other end of `commands` is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this process ends it
    if plan.core is not None:
        os.sched_setaffinity(0, {plan.core})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.disable()
    try:
        uvloop.run(LoadProcess(plan, inbox, outboxes).serve(commands))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        sys.exit(1)


class LoadProcess:
    def __init__(self, plan: Plan, inbox: Connection, outboxes: list[Connection]) -> None:
        self._plan = plan
        self._replies = Replies(plan.dialect)
        self._receivers: dict[int, Receiver] = {}
        self._readers = Readers(plan, self._replies, self)
        self._failure = ""
        self._generator: Generator | None = None
        if plan.shape is not None:
            self._generator = Generator(plan, plan.shape, self._receivers, inbox, outboxes)

    def found(self, values: list[int]) -> None:
        if self._generator is not None:
            self._generator.found(values)

    def acked(self, number: int, now_ns: int) -> None:
        if self._generator is not None:
            self._generator.acked(number, now_ns)

    def fail(self, reason: str) -> None:
        self._failure = self._failure or reason
        if self._generator is not None:
            self._generator.fail(reason)

    async def serve(self, commands: Connection) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, what: self.fail(_described(what)))
        try:
            while True:
                await _readable(commands)
                commands.send(await self.answer(commands.recv()))
        finally:
            self.close()

    def close(self) -> None:
        """Cut all connections."""
        for receiver in self._receivers.values():
            receiver.close()
        self._readers.close()

    async def answer(self, command: Command) -> Answer:
        """Carry out one command."""
        match command:
            case Open():
                return await self._open(command)
            case Run():
                return await self._run(command)
            case Finish():
                finished = await self._readers.finish(command.counts)
                return replace(finished, failure=self._failure or finished.failure)
            case Cut():
                return self._readers.cut()
            case ComeBack():
                return await self._readers.come_back(command.start_ns)
            case Collect():
                await asyncio.sleep(_LINGER_SECONDS)
                return self._collect(command.first)

    async def _open(self, command: Open) -> Opened:
        """An empty range opens nothing, but tells whether all connections are still there."""
        gate = asyncio.Semaphore(_AT_ONCE)
        wanted = [seat for seat in self._plan.seats if command.first <= seat.number < command.end]
        rate = self._plan.opens_a_second / self._plan.processes
        began = time.monotonic()

        async def open_one(place: int, seat: Seat) -> None:
            if rate:
                await asyncio.sleep(began + place / rate - time.monotonic())
            async with gate:
                if self._failure:
                    return
                try:
                    await self._open_seat(seat)
                except TimeoutError:
                    self._failure = self._failure or f"{seat.user}: not open in {OPEN_SECONDS} s"
                except OSError as error:
                    self._failure = self._failure or str(error)

        await asyncio.gather(*(open_one(place, seat) for place, seat in enumerate(wanted)))
        return Opened(self._failure)

    async def _open_seat(self, seat: Seat) -> None:
        if seat.reading is not Reading.TIMED:
            await self._readers.open(seat)
            return

        def receiver(stream: wire.Stream, transport: asyncio.Transport) -> Receiver:
            return Receiver(seat, stream, transport, self._replies, self)

        self._receivers[seat.number] = await open_connection(
            self._plan.addresses[seat.node], seat, seat.request, self._replies, receiver
        )

    async def _run(self, command: Run) -> Ended:
        assert self._generator is not None
        if command.stalls:
            self._readers.stall()
        started_ns, cpu_ns = time.monotonic_ns(), time.process_time_ns()
        is_complete = await self._generator.run(command.first, command.end, command.start_ns)
        end_ns = time.monotonic_ns()
        return Ended(
            end_ns=end_ns,
            cpu_share=(time.process_time_ns() - cpu_ns) / (end_ns - started_ns),
            is_stalled=not is_complete,
            failure=self._failure,
        )

    def _collect(self, first: int) -> Collected:
        collected = Collected()
        base_ns = self._plan.base_ns
        for receiver in self._receivers.values():
            numbers, latencies = array("i"), array("q")
            values = iter(receiver.values)
            for arrived_ns, count in zip(receiver.arrivals, receiver.counts, strict=True):
                arrived_us = (arrived_ns - base_ns) // 1000
                for _ in range(count):
                    number, sent_us = divmod(next(values), NUMBER)
                    if number >= first:
                        numbers.append(number)
                        latencies.append(arrived_us - sent_us)
            collected.received[receiver.seat.number] = numbers
            collected.latencies.add(latencies)
        for seat, numbers in self._readers.numbers().items():
            collected.received[seat] = array("i", (n for n in numbers if n >= first))
        if self._generator is not None:
            collected.sent.extend(number for number in self._generator.sent if number >= first)
            collected.acks.add(us for number, us in self._generator.acks if number >= first)
        return collected


async def _readable(connection: Connection) -> None:
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    loop.add_reader(connection.fileno(), arrived.set)
    try:
        await arrived.wait()
    finally:
        loop.remove_reader(connection.fileno())
        # The loop has changed that, and an answer may be longer than what the pipe holds.
        os.set_blocking(connection.fileno(), True)


def _described(what: Mapping[str, Any]) -> str:
    """What an event loop tells of an exception in a callback, in one line."""
    return f"the load process has a bug: {what.get('exception', what.get('message'))!r}"
