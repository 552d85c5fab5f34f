"""When to connect again, after how long, and when not at all."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from protocol.close import CLOSES, CloseCode
from protocol.errors import ErrorCode
from testclients.backoff import TRIES, Backoff
from testclients.connection_state import ConnectionState, Phase
from testclients.errors import (
    BadFrame,
    CannotConnect,
    ClientError,
    ConnectionLost,
    HttpFailed,
    Overdue,
    RequestFailed,
)
from testclients.reconnecting import STABLE_SECONDS, Reconnecting, Verdict, verdict_on
from tests.support.running import on_a_loop, turns
from tests.unit.testclients.hand_timer import HandTimer

REFUSED = CannotConnect("ws://here/", "connection refused")
CUT = ConnectionLost(1006, "")
EXPIRED = ConnectionLost(CloseCode.TOKEN_EXPIRED, "token expired")


class Tries:
    """A `Reconnecting` whose tries end as the test says, on a clock that stands still."""

    def __init__(self, *, random: float = 1.0, can_renew: bool = True) -> None:
        self.timer = HandTimer()
        self.states: list[ConnectionState] = []
        self.attempts = 0
        self.renewals = 0
        self.renewal: ClientError | None = None
        """What a renewal fails with."""
        self.goes_online = False
        self._end: asyncio.Future[ClientError] | None = None
        self.reconnecting = Reconnecting(
            self._attempt,
            self._renew if can_renew else None,
            self.timer,
            Backoff(lambda: random),
            self.states.append,
        )

    @property
    def phase(self) -> Phase:
        return self.reconnecting.state.phase

    async def fail(self, error: ClientError) -> ConnectionState:
        """The try under way ends."""
        assert self._end is not None, "a try is under way"
        end, self._end = self._end, None
        end.set_result(error)
        await turns()
        return self.reconnecting.state

    async def _attempt(self, online: Callable[[], None]) -> None:
        self.attempts += 1
        if self.goes_online:
            online()
        self._end = asyncio.get_running_loop().create_future()
        raise await self._end

    async def _renew(self) -> None:
        self.renewals += 1
        if self.renewal is not None:
            raise self.renewal


@asynccontextmanager
async def running(tries: Tries) -> AsyncIterator[Tries]:
    task = asyncio.create_task(tries.reconnecting.run())
    await turns()
    try:
        yield tries
    finally:
        task.cancel()
        await asyncio.wait([task])


CLOSED_FOR_GOOD = {1002, 1007, 1009, 4500, 4501, 4502, 4777, 4999}
CLOSED_FOR_NOW = {1000, 1001, 1006, 1011, 3000, 4000, 4008, 4029, 4444, 4499}


@pytest.mark.parametrize("code", sorted(CLOSED_FOR_GOOD | CLOSED_FOR_NOW))
def test_a_close_code_says_whether_to_come_back(code: int) -> None:
    expected = Verdict.GIVE_UP if code in CLOSED_FOR_GOOD else Verdict.RETRY
    assert verdict_on(ConnectionLost(code, "")) is expected
    assert verdict_on(CannotConnect("ws://here/", "closed", close_code=code)) is expected


@pytest.mark.parametrize("code", list(CloseCode))
def test_every_code_of_the_protocol_is_followed(code: CloseCode) -> None:
    comes_back = verdict_on(ConnectionLost(code, "")) is not Verdict.GIVE_UP
    assert comes_back is CLOSES[code].may_reconnect


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (EXPIRED, Verdict.RENEW),
        (CannotConnect("ws://here/", "closed", close_code=4401), Verdict.RENEW),
        (CannotConnect("ws://here/", "HTTP 401", 401), Verdict.RENEW),
        (CannotConnect("ws://here/", "HTTP 403", 403), Verdict.GIVE_UP),
        (CannotConnect("ws://here/", "HTTP 404", 404), Verdict.GIVE_UP),
        (CannotConnect("ws://here/", "HTTP 429", 429), Verdict.RETRY),
        (CannotConnect("ws://here/", "HTTP 503", 503), Verdict.RETRY),
        (REFUSED, Verdict.RETRY),
        (HttpFailed(401, "UNAUTHENTICATED", "used"), Verdict.GIVE_UP),
        (HttpFailed(500, None, ""), Verdict.RETRY),
        (Overdue("no INFO"), Verdict.RETRY),
        (RequestFailed(ErrorCode.UNAVAILABLE, "", True, None), Verdict.RETRY),
        (BadFrame("no frame"), Verdict.GIVE_UP),
    ],
    ids=str,
)
def test_what_other_ends_lead_to(error: ClientError, verdict: Verdict) -> None:
    assert verdict_on(error) is verdict


@on_a_loop
async def test_the_waits_grow_and_after_ten_it_gives_up() -> None:
    async with running(Tries()) as tries:
        waits = []
        for _ in range(TRIES):
            state = await tries.fail(REFUSED)
            assert state.phase is Phase.WAITING and state.cause is REFUSED
            waits.append(state.seconds)
            before = tries.attempts
            await tries.timer.turn(state.seconds - 0.5)
            assert tries.attempts == before, "not before its time"
            await tries.timer.turn(0.5)
            assert tries.attempts == before + 1
        assert waits == [1, 2, 4, 8, 16, 30, 30, 30, 30, 30]
        state = await tries.fail(REFUSED)
        assert state == ConnectionState(Phase.FAILED, 0, 10, REFUSED)
        await tries.timer.turn(1_000)
        assert tries.attempts == 11


@on_a_loop
async def test_chance_shortens_the_waits() -> None:
    async with running(Tries(random=0.25)) as tries:
        waits = []
        for _ in range(3):
            state = await tries.fail(CUT)
            waits.append(state.seconds)
            await tries.timer.turn(state.seconds)
        assert waits == [0.25, 0.5, 1]


@on_a_loop
async def test_a_node_that_drains_is_come_back_to_with_jitter() -> None:
    async with running(Tries(random=0.6)) as tries:
        tries.goes_online = True
        state = await tries.fail(ConnectionLost(CloseCode.DRAIN, "going away"))
        assert (state.phase, state.seconds) == (Phase.WAITING, 0.6)


@on_a_loop
async def test_the_wait_is_told_each_second() -> None:
    async with running(Tries()) as tries:
        for _ in range(2):
            state = await tries.fail(REFUSED)
            await tries.timer.turn(state.seconds)
        await tries.fail(REFUSED)
        tries.states.clear()
        await tries.timer.turn(4)
        left = [state.seconds for state in tries.states if state.phase is Phase.WAITING]
        assert left == [3, 2, 1]
        assert tries.phase is Phase.CONNECTING


@on_a_loop
async def test_who_does_not_want_to_wait_need_not() -> None:
    async with running(Tries()) as tries:
        for _ in range(5):
            await tries.fail(REFUSED)
            tries.reconnecting.try_now()
            await turns()
        assert (tries.attempts, tries.phase) == (6, Phase.CONNECTING)
        assert (await tries.fail(REFUSED)).seconds == 30, "the failures were counted"


@on_a_loop
async def test_after_giving_up_it_may_be_told_to_begin_anew() -> None:
    async with running(Tries()) as tries:
        await tries.fail(ConnectionLost(CloseCode.TOKEN_REVOKED, "token revoked"))
        assert (tries.phase, tries.attempts) == (Phase.FAILED, 1)
        await tries.timer.turn(1_000)
        assert tries.attempts == 1
        tries.reconnecting.try_now()
        await turns()
        assert (tries.phase, tries.attempts) == (Phase.CONNECTING, 2)
        assert (await tries.fail(REFUSED)).seconds == 1


@on_a_loop
async def test_a_connection_that_lasted_starts_the_count_anew() -> None:
    tries = Tries()
    tries.goes_online = True
    async with running(tries):
        assert tries.phase is Phase.ONLINE
        for expected in (1, 2, 4):
            state = await tries.fail(CUT)
            assert state.seconds == expected, "closed at once again and again"
            await tries.timer.turn(state.seconds)
        await tries.timer.turn(STABLE_SECONDS)
        assert (await tries.fail(CUT)).seconds == 1


@on_a_loop
async def test_an_expired_token_is_renewed_first() -> None:
    tries = Tries()
    tries.goes_online = True
    async with running(tries):
        state = await tries.fail(EXPIRED)
        assert (state.phase, tries.renewals) == (Phase.WAITING, 0)
        await tries.timer.turn(state.seconds)
        assert (tries.renewals, tries.attempts, tries.phase) == (1, 2, Phase.ONLINE)
        state = await tries.fail(CUT)
        await tries.timer.turn(state.seconds)
        assert (tries.renewals, tries.attempts) == (1, 3), "not each time"


@on_a_loop
async def test_a_renewal_that_fails_for_now_is_tried_again() -> None:
    async with running(Tries()) as tries:
        tries.renewal = CannotConnect("http://here", "connection refused")
        state = await tries.fail(EXPIRED)
        await tries.timer.turn(state.seconds)
        assert (tries.renewals, tries.attempts, tries.phase) == (1, 1, Phase.WAITING)
        tries.renewal = None
        await tries.timer.turn(tries.reconnecting.state.seconds)
        assert (tries.renewals, tries.attempts) == (2, 2)


@on_a_loop
async def test_a_new_token_that_is_refused_too_is_the_end() -> None:
    async with running(Tries()) as tries:
        state = await tries.fail(EXPIRED)
        await tries.timer.turn(state.seconds)
        assert (await tries.fail(EXPIRED)).phase is Phase.FAILED


@on_a_loop
async def test_without_a_refresh_token_an_expired_token_is_the_end() -> None:
    async with running(Tries(can_renew=False)) as tries:
        assert (await tries.fail(EXPIRED)).phase is Phase.FAILED


@on_a_loop
async def test_a_server_that_names_a_time_is_given_it() -> None:
    async with running(Tries(random=0.0)) as tries:
        error = RequestFailed(ErrorCode.RATE_LIMITED, "slower", True, 7_000)
        assert (await tries.fail(error)).seconds == 7
