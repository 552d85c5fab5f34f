"""chatd.readiness"""

import asyncio

from chatd.clock import HandClock
from chatd.errors import BackendError
from chatd.readiness import FRESH_SECONDS, Facts, Probe, Readiness
from tests.support.running import on_a_loop, until


class Backend:
    """What a probe asks; a test says how it is."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: str | None = None
        self.hangs: asyncio.Event | None = None

    async def ask(self) -> Facts:
        self.asked += 1
        if self.hangs is not None:
            await self.hangs.wait()
        if self.error is not None:
            raise BackendError(self.error)
        return Facts({"mode": "durable"}, ["mend it"])


@on_a_loop
async def test_what_a_backend_says_is_told() -> None:
    backend = Backend()
    (answer,) = (await Readiness([Probe("one", backend.ask)], HandClock()).answers()).values()
    assert (answer.is_up, answer.error) == (True, None)
    assert (answer.details, list(answer.warnings)) == ({"mode": "durable"}, ["mend it"])
    assert answer.latency_ms >= 0


@on_a_loop
async def test_a_backend_is_asked_at_most_once_a_second() -> None:
    backend, clock = Backend(), HandClock()
    readiness = Readiness([Probe("one", backend.ask)], clock)
    await readiness.answers()
    clock.advance(FRESH_SECONDS - 0.01)
    await readiness.answers()
    assert backend.asked == 1
    backend.error = "gone"
    clock.advance(0.02)
    assert not (await readiness.answers())["one"].is_up
    assert backend.asked == 2


@on_a_loop
async def test_those_who_ask_at_the_same_time_share_the_answer() -> None:
    backend = Backend()
    backend.hangs = asyncio.Event()
    readiness = Readiness([Probe("one", backend.ask)], HandClock())
    asking = [asyncio.create_task(readiness.answers()) for _ in range(5)]
    impatient = asking.pop()
    await until(lambda: backend.asked == 1)
    impatient.cancel()
    backend.hangs.set()
    assert all(answers["one"].is_up for answers in await asyncio.gather(*asking))
    assert backend.asked == 1, "and one who left took nobody's answer along"


@on_a_loop
async def test_a_backend_that_fails_is_down_and_the_others_are_not() -> None:
    good, bad = Backend(), Backend()
    bad.error = "PostgreSQL: it is not there"
    readiness = Readiness([Probe("bad", bad.ask), Probe("good", good.ask)], HandClock())
    answers = await readiness.answers()
    assert (answers["bad"].is_up, answers["bad"].error) == (False, "PostgreSQL: it is not there")
    assert answers["good"].is_up


@on_a_loop
async def test_a_backend_that_does_not_answer_in_time_is_down_until_it_does() -> None:
    good, bad, clock = Backend(), Backend(), HandClock()
    bad.hangs = asyncio.Event()
    readiness = Readiness([Probe("bad", bad.ask), Probe("good", good.ask)], clock, seconds=0.01)
    for _ in range(2):
        answers = await readiness.answers()
        assert (answers["bad"].is_up, answers["bad"].error) == (False, "no answer within 0.01 s")
        assert answers["good"].is_up
        clock.advance(FRESH_SECONDS)
    assert (bad.asked, good.asked) == (1, 2), "questions do not pile up"
    bad.hangs.set()
    assert (await readiness.answers())["bad"].is_up


@on_a_loop
async def test_who_cannot_be_cancelled_is_not_waited_for() -> None:
    may_end = asyncio.Event()

    async def stubborn() -> Facts:
        try:
            await asyncio.Event().wait()
        finally:
            await may_end.wait()
        return Facts({})

    probe = Probe("stubborn", stubborn)
    answers = await Readiness([probe], HandClock(), seconds=0.01).answers()
    assert not answers["stubborn"].is_up
    may_end.set()


@on_a_loop
async def test_only_what_is_needed_is_lacking() -> None:
    needed, other = Backend(), Backend()
    clock = HandClock()
    probes = [Probe("needed", needed.ask, is_needed=True), Probe("other", other.ask)]
    readiness = Readiness(probes, clock)
    other.error = "gone"
    assert readiness.lacks(await readiness.answers()) == []
    needed.error = "gone"
    clock.advance(FRESH_SECONDS)
    assert readiness.lacks(await readiness.answers()) == ["needed"]
