"""Several processes of chatd on the same ports: started, watched and stopped by one that does
nothing else.

The first worker is started alone: what keeps it from starting would keep the others too, and is
said once. Later a worker that ends is started again, after a pause that doubles from
`FIRST_PAUSE_SECONDS` to `LONGEST_PAUSE_SECONDS` as long as it ends within `STEADY_SECONDS`.

A worker's standard input is a socket to the supervisor: by it the worker says that it is ready, and
sees the supervisor's death, after which it stops.
"""

import asyncio
import signal
import socket as sockets
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from loguru import logger

WORKERS: Final = 64
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0
STEADY_SECONDS: Final = 60.0
BEYOND_THE_DRAIN_SECONDS: Final = 5.0
_READY: Final = b"r"


class Supervisor:
    def __init__(self, command: Sequence[str], *, workers: int, drain_seconds: float) -> None:
        """`command` starts a worker when `--worker NUMBER` is put after it."""
        self._seconds = drain_seconds + BEYOND_THE_DRAIN_SECONDS
        self._stopping = asyncio.Event()
        self._first_is_ready = asyncio.Event()
        self._not_ready = set(range(1, workers + 1))
        self._workers = [
            _Worker(command, number, self._stopping, self._on_ready)
            for number in range(1, workers + 1)
        ]
        self._code = 0

    def stop(self, number: signal.Signals) -> None:
        """Pass a signal on to the workers; `run` returns when they have ended."""
        self._stopping.set()
        for worker in self._workers:
            worker.send(number)

    async def run(self) -> int:
        """Keep the workers running until `stop`; the exit code.

        0 after a stop, and 1 when a worker had to be killed; that of the first worker, which has
        said why, when it did not start.
        """
        first, *others = self._workers
        keeping = [asyncio.create_task(self._keep(first), name="worker 1")]
        begun = asyncio.create_task(self._first_is_ready.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({begun, stopping}, return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        if not self._stopping.is_set():
            keeping += [
                asyncio.create_task(self._keep(worker), name=f"worker {worker.number}")
                for worker in others
            ]
        await stopping
        _, late = await asyncio.wait(keeping, timeout=self._seconds)
        if late:
            for worker in self._workers:
                worker.send(signal.SIGKILL)
            logger.error("{} workers were killed after {:g} s", len(late), self._seconds)
            self._code = self._code or 1
        await asyncio.gather(*keeping)
        return self._code

    async def _keep(self, worker: "_Worker") -> None:
        """Start it, again and again, until `stop`."""
        time = asyncio.get_running_loop().time
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            began = time()
            code = await worker.run()
            if self._stopping.is_set():
                return
            if not self._first_is_ready.is_set():
                if code <= 0:
                    logger.error("worker 1 ended with {} before it was ready", _how(code))
                self._code = max(code, 1)
                self._stopping.set()
                return
            if time() - began >= STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            logger.warning(
                "worker {} ended with {}; it is started again in {:g} s",
                worker.number,
                _how(code),
                pause,
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _on_ready(self, number: int) -> None:
        self._first_is_ready.set()
        if number in self._not_ready:
            self._not_ready.remove(number)
            if not self._not_ready:
                logger.info("all {} workers are ready", len(self._workers))


class _Worker:
    def __init__(
        self,
        command: Sequence[str],
        number: int,
        stopping: asyncio.Event,
        on_ready: Callable[[int], None],
    ) -> None:
        self.number = number
        self._command = [*command, "--worker", str(number)]
        self._stopping = stopping
        self._on_ready = on_ready
        self._process: asyncio.subprocess.Process | None = None

    async def run(self) -> int:
        """Start the process and wait for its end; its exit code, negative for a signal."""
        link, end_of_worker = sockets.socketpair()
        with link:
            with end_of_worker:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command, stdin=end_of_worker.fileno()
                )
            if self._stopping.is_set():
                self.send(signal.SIGTERM)
            link.setblocking(False)
            if await asyncio.get_running_loop().sock_recv(link, len(_READY)):
                self._on_ready(self.number)
            code = await self._process.wait()
            self._process = None
        return code

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


class Link:
    """A worker's end of what joins it to its supervisor."""

    def __init__(self, on_death: Callable[[], None]) -> None:
        """On the loop, in a process that a Supervisor started; `on_death` is called when the
        supervisor is no more."""
        self._socket = sockets.socket(fileno=0)
        self._socket.setblocking(False)
        self._on_death = on_death
        asyncio.get_running_loop().add_reader(self._socket, self._on_readable)

    def tell_ready(self) -> None:
        with suppress(OSError):
            self._socket.send(_READY)

    def _on_readable(self) -> None:
        # The supervisor sends nothing: this is its end.
        asyncio.get_running_loop().remove_reader(self._socket)
        self._on_death()
