"""The load processes, seen from the process that measures."""

import multiprocessing
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Final, Self, TypeVar

from bench import load
from bench.errors import BenchError
from bench.latency import Latencies
from bench.plan import (
    Answer,
    CameBack,
    Collect,
    Collected,
    ComeBack,
    Command,
    Cut,
    Ended,
    Finish,
    Finished,
    Open,
    Opened,
    Plan,
    Positions,
    Run,
)

A = TypeVar("A", bound=Answer)

_LEAD_NS: Final = 50_000_000
"""From the command to its start, so that all processes begin together."""
_END_SECONDS: Final = 2
_spawn: Final = multiprocessing.get_context("spawn")


class Fleet:
    """Started on entering the context, ended on leaving it, whatever happens inside."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        self._plans = plans
        self._commands: list[Connection] = []
        self.processes: list[multiprocessing.process.BaseProcess] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end(at_once=True)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._end(at_once=error is not None)

    def open(self, first: int, end: int) -> None:
        """Open the seats [first, end) and check that all opened before are still there.

        Raises:
            BenchError: one of them is not.
        """
        for opened in self._ask(Open(first, end), Opened):
            if opened.failure:
                raise BenchError(opened.failure)

    def run(self, first: int, end: int, *, stalls: bool = False) -> tuple[float, list[Ended]]:
        """Send the messages [first, end); the seconds it took, and what each process says. With
        `stalls`, those who are to stall do it from the beginning.

        Raises:
            BenchError: a post was refused, or a connection closed.
        """
        start_ns = time.monotonic_ns() + _LEAD_NS
        ended = self._ask(Run(first, end, start_ns, stalls), Ended)
        for one in ended:
            if one.failure:
                raise BenchError(one.failure)
        return (max(one.end_ns for one in ended) - start_ns) / 1e9, ended

    def finish(self, counts: Mapping[int, int]) -> tuple[float, list[Finished]]:
        """Wake those who stall and wait until each seat that is not TIMED has so many messages in
        all; the seconds it took, and what each process says.

        Raises:
            BenchError: a connection could not come back, or one was closed that never stalled.
        """
        start_ns = time.monotonic_ns()
        finished = self._ask(Finish(dict(counts)), Finished)
        for one in finished:
            if one.failure:
                raise BenchError(one.failure)
        return (max(one.end_ns for one in finished) - start_ns) / 1e9, finished

    def cut(self) -> dict[str, int]:
        """Cut all connections that are not TIMED; by conversation, the lowest position that any of
        them has got to."""
        lowest: dict[str, int] = {}
        for one in self._ask(Cut(), Positions):
            for conversation, position in one.lowest.items():
                lowest[conversation] = min(position, lowest.get(conversation, position))
        return lowest

    def come_back(self) -> tuple[float, Latencies, float]:
        """Let all that were cut connect at once and resume.

        Returns:
            The seconds until the last had resumed; how long each took; the CPU that the busiest
            process used, as a share of one core.

        Raises:
            BenchError: one of them could not, or was refused.
        """
        start_ns = time.monotonic_ns() + _LEAD_NS
        latencies = Latencies()
        answers = self._ask(ComeBack(start_ns), CameBack)
        for one in answers:
            if one.failure:
                raise BenchError(one.failure)
            latencies.merge(one.latencies)
        seconds = (max(one.end_ns for one in answers) - start_ns) / 1e9
        return seconds, latencies, max(one.cpu_share for one in answers)

    def collect(self, first: int) -> Collected:
        """The account of the messages from `first` on, of all processes together."""
        total = Collected()
        for one in self._ask(Collect(first), Collected):
            total.latencies.merge(one.latencies)
            total.acks.merge(one.acks)
            total.received.update(one.received)
            total.sent.extend(one.sent)
        return total

    def _start(self) -> None:
        with ExitStack() as theirs:
            pipes = [_spawn.Pipe(duplex=False) for _ in self._plans]
            for reading, writing in pipes:
                theirs.callback(reading.close)
                theirs.callback(writing.close)
            outboxes = [writing for _, writing in pipes]
            for plan, (inbox, _) in zip(self._plans, pipes, strict=True):
                ours, commands = _spawn.Pipe()
                theirs.callback(commands.close)
                self._commands.append(ours)
                process = _spawn.Process(
                    target=load.main,
                    args=(plan, commands, inbox, outboxes),
                    name=f"load-{plan.process}",
                    daemon=True,
                )
                process.start()
                self.processes.append(process)

    def _end(self, *, at_once: bool) -> None:
        for commands in self._commands:
            commands.close()
        for process in self.processes:
            process.join(0 if at_once else _END_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()

    def _ask(self, command: Command, kind: type[A]) -> list[A]:
        answers = []
        try:
            for commands in self._commands:
                commands.send(command)
            for commands in self._commands:
                answer = commands.recv()
                assert isinstance(answer, kind)
                answers.append(answer)
        except (EOFError, OSError):
            raise BenchError("a load process ended before its time") from None
        return answers
