"""Whether a node can do its work now: each backend is asked, in a bounded time, at most once a
second."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

from chatd.clock import Clock
from chatd.errors import BackendError

PROBE_SECONDS: Final = 2.0
FRESH_SECONDS: Final = 1.0


class Facts(NamedTuple):
    """What a backend says of itself."""

    details: dict[str, Any]
    warnings: Sequence[str] = ()
    """What an operator should mend."""


class Probe(NamedTuple):
    """How to ask a backend."""

    name: str
    ask: Callable[[], Awaitable[Facts]]
    """Raises BackendError: it does not do its work."""
    is_needed: bool = False
    """Without it the node is not ready; without another it does what it can."""


class Answer(NamedTuple):
    is_up: bool
    latency_ms: float
    details: dict[str, Any]
    warnings: Sequence[str] = ()
    error: str | None = None


class Readiness:
    """The answers of all probes, for whoever asks."""

    def __init__(
        self, probes: Sequence[Probe], clock: Clock, *, seconds: float = PROBE_SECONDS
    ) -> None:
        """A backend that does not answer within `seconds` is down."""
        self._probes = probes
        self._clock = clock
        self._seconds = seconds
        self._answers: dict[str, Answer] = {}
        self._fresh_until = 0.0
        self._asking: asyncio.Task[dict[str, Answer]] | None = None
        self._under_way: dict[str, asyncio.Task[Answer]] = {}
        """At most one probe of each backend, by its name."""

    async def answers(self) -> dict[str, Answer]:
        """By the name of the backend; at most `FRESH_SECONDS` old. Those who ask at the same time
        share it."""
        if self._clock.monotonic() < self._fresh_until:
            return self._answers
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._ask_all(), name="readiness")
        return await asyncio.shield(self._asking)

    def lacks(self, answers: dict[str, Answer]) -> list[str]:
        """The backends without which the node is not ready."""
        return [
            probe.name
            for probe in self._probes
            if probe.is_needed and not answers[probe.name].is_up
        ]

    async def _ask_all(self) -> dict[str, Answer]:
        try:
            found = await asyncio.gather(*map(self._ask, self._probes))
            self._answers = dict(zip((probe.name for probe in self._probes), found, strict=True))
            self._fresh_until = self._clock.monotonic() + FRESH_SECONDS
            return self._answers
        finally:
            self._asking = None

    async def _ask(self, probe: Probe) -> Answer:
        # One that does not answer is neither asked again meanwhile nor waited for when it is
        # cancelled, which may take as long.
        under_way = self._under_way.get(probe.name)
        if under_way is None:
            under_way = asyncio.get_running_loop().create_task(_timed(probe), name="probe")
            self._under_way[probe.name] = under_way
        await asyncio.wait({under_way}, timeout=self._seconds)
        if not under_way.done():
            late = f"no answer within {self._seconds:g} s"
            return Answer(False, self._seconds * 1000, {}, error=late)
        del self._under_way[probe.name]
        return under_way.result()


async def _timed(probe: Probe) -> Answer:
    began = time.perf_counter()
    facts, error = Facts({}), None
    try:
        facts = await probe.ask()
    except BackendError as failure:
        error = str(failure)
    latency_ms = round((time.perf_counter() - began) * 1000, 3)
    return Answer(error is None, latency_ms, facts.details, facts.warnings, error)
