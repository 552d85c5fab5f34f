"""Sends the messages of one load process and knows when all have arrived."""

import asyncio
from array import array
from multiprocessing.connection import Connection
from time import monotonic_ns
from typing import Final

from bench.connection import Receiver
from bench.markers import NUMBER, content, padding
from bench.plan import Plan
from bench.shapes import Shape
from bench.timer import Timer

_FASTEST_TICK_NS: Final = 100_000
_NOTICE_BYTES: Final = 4
_LOOKS_AT_PATIENCE: Final = 8
"""How often it is checked within the time that patience lasts."""


class Generator:
    """A phase is a range of message numbers; `run` is one, and one is under way at a time.

    In the closed loop a message is sent when the one that many lanes before it has reached all its
    recipients. Where these are spread over processes, each of them notifies the process of the
    next sender through `outboxes`, and that one sends when it has heard of all.
    """

    def __init__(
        self,
        plan: Plan,
        shape: Shape,
        receivers: dict[int, Receiver],
        inbox: Connection,
        outboxes: list[Connection],
    ) -> None:
        self._plan = plan
        self._shape = shape
        self._receivers = receivers
        self._inbox = inbox
        self._outboxes = outboxes
        self._padding = padding(plan.size)
        self._processes_told = plan.processes if shape.spans_processes else 1
        seats = {seat.number for seat in plan.seats}
        self._left = [shape.recipients_among(seats, n) for n in range(plan.messages)]
        """Per message, how many of the seats here have yet to get it."""
        self._waits_for = [self._processes_told] * plan.messages
        """Per message, how many processes have yet to say that its predecessor has arrived."""
        self._sent_us: dict[int, int] = {}
        """Of messages that are not acked."""
        self._end = 0
        self._open = 0
        """Messages of the phase that have not reached everybody here."""
        self._unacked = 0
        """Messages of the phase that are sent from here, or will be, and not acked."""
        self._over: asyncio.Future[None] | None = None
        """Of the phase: set when everything has arrived, or has been given up."""
        self.sent = array("i")
        """The numbers of all messages sent."""
        self.acks: list[tuple[int, int]] = []
        """Number and microseconds until the ack."""
        self.failure = ""

    async def run(self, first: int, end: int, start_ns: int) -> bool:
        """Send the messages [first, end) and wait until all have arrived and are acked.

        Returns:
            Whether they have: not when nothing came for longer than patience, or at a `failure`.
        """
        loop = asyncio.get_running_loop()
        over = self._over = loop.create_future()
        self._end = end
        self._open = sum(self._left[n] > 0 for n in range(first, end))
        self._unacked = sum(self._is_mine(n) for n in range(first, end))
        loop.add_reader(self._inbox.fileno(), self._read_notices)
        watching = asyncio.create_task(self._watch())
        sending = asyncio.create_task(self._send_phase(first, start_ns))
        try:
            if self._open or self._unacked:
                await over
            return not (self._open or self._unacked or self.failure)
        finally:
            watching.cancel()
            sending.cancel()
            await asyncio.gather(watching, sending, return_exceptions=True)
            loop.remove_reader(self._inbox.fileno())

    def found(self, values: list[int]) -> None:
        left = self._left
        for value in values:
            number = value // NUMBER
            left[number] = remaining = left[number] - 1
            if not remaining:
                self._arrived(number)

    def acked(self, number: int, now_ns: int) -> None:
        sent_us = self._sent_us.pop(number, None)
        if sent_us is None:
            self.fail(f"message {number} was acked twice")
            return
        self.acks.append((number, (now_ns - self._plan.base_ns) // 1000 - sent_us))
        self._unacked -= 1
        self._check_over()

    def fail(self, reason: str) -> None:
        self.failure = self.failure or reason
        self._end_phase()

    async def _send_phase(self, first: int, start_ns: int) -> None:
        await asyncio.sleep(max(start_ns - monotonic_ns(), 0) / 1e9)
        if self._plan.rate:
            await self._send_at_rate(first, start_ns)
            return
        for number in range(first, min(first + self._shape.lanes, self._end)):
            if self._is_mine(number):
                self._send(number, monotonic_ns())

    async def _send_at_rate(self, first: int, start_ns: int) -> None:
        """Each message is due at its time, and its latency counts from there, sent late or not."""
        interval = 1e9 / self._plan.rate
        loop = asyncio.get_running_loop()
        tick = asyncio.Event()
        number = first
        with Timer(start_ns, max(int(interval), _FASTEST_TICK_NS)) as timer:
            loop.add_reader(timer.fd, tick.set)
            try:
                while number < self._end:
                    await tick.wait()
                    tick.clear()
                    timer.expired()
                    now_ns = monotonic_ns()
                    while number < self._end:
                        due_ns = start_ns + int((number - first) * interval)
                        if due_ns > now_ns:
                            break
                        if self._is_mine(number):
                            self._send(number, due_ns)
                        number += 1
            finally:
                loop.remove_reader(timer.fd)

    def _send(self, number: int, sent_ns: int) -> None:
        sent_us = (sent_ns - self._plan.base_ns) // 1000
        self._sent_us[number] = sent_us
        self.sent.append(number)
        sender = self._receivers[self._shape.sender(number)]
        sender.post(number, content(number, sent_us, self._padding))

    def _is_mine(self, number: int) -> bool:
        return self._process_of(number) == self._plan.process

    def _process_of(self, number: int) -> int:
        return self._shape.process_of(self._shape.sender(number), self._plan.processes)

    def _arrived(self, number: int) -> None:
        """It has reached everybody here."""
        self._open -= 1
        following = number + self._shape.lanes
        if not self._plan.rate and following < self._end:
            process = self._process_of(following)
            if process == self._plan.process:
                self._may_follow(following)
            else:
                self._outboxes[process].send_bytes(following.to_bytes(_NOTICE_BYTES, "big"))
        self._check_over()

    def _may_follow(self, number: int) -> None:
        self._waits_for[number] -= 1
        if not self._waits_for[number]:
            self._send(number, monotonic_ns())

    def _read_notices(self) -> None:
        while self._inbox.poll():
            self._may_follow(int.from_bytes(self._inbox.recv_bytes(), "big"))

    def _check_over(self) -> None:
        if not (self._open or self._unacked):
            self._end_phase()

    def _end_phase(self) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    async def _watch(self) -> None:
        """Give up when nothing has arrived for too long."""
        last, since_ns = (-1, -1), monotonic_ns()
        while True:
            await asyncio.sleep(self._plan.patience_seconds / _LOOKS_AT_PATIENCE)
            now = (self._open, self._unacked)
            if now != last:
                last, since_ns = now, monotonic_ns()
            elif monotonic_ns() - since_ns > self._plan.patience_seconds * 1e9:
                self._end_phase()
                return
