"""One connection after the other: when to try again, after how long, and when to give up.

A try is whatever the caller hands in: it connects, says when it is online, and raises what ended
it. Its reason decides: close codes that tell a client to stay away, refusals, and a server that
does not speak the protocol end everything; an expired token is renewed before the next try; after
all else it waits (`backoff`) and tries again, ten times in a row at most.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Final

from protocol.close import CloseCode, may_reconnect
from testclients.backoff import Backoff
from testclients.connection_state import ConnectionState, Phase
from testclients.errors import (
    BadFrame,
    CannotConnect,
    ClientError,
    ConnectionLost,
    HttpFailed,
    RequestFailed,
)
from testclients.timer import Timer

STABLE_SECONDS: Final = 5.0
"""A connection that was online for so long starts the count of failures anew: one that is closed
at once, again and again, must not be tried for ever."""
_TICK_SECONDS: Final = 1.0
_MAY_PASS: Final = frozenset({408, 425, 429})
"""Statuses below 500 that are no verdict on the request."""


class Verdict(Enum):
    RETRY = auto()
    RENEW = auto()
    """Renew the token, then try again."""
    GIVE_UP = auto()


def verdict_on(error: ClientError) -> Verdict:
    """What to do after a try that ended with this."""
    match error:
        case ConnectionLost(code=code):
            return _verdict_on_close(code)
        case CannotConnect(close_code=int(code)):
            return _verdict_on_close(code)
        case CannotConnect(http_status=401):
            return Verdict.RENEW
        case CannotConnect(http_status=int(status)):
            return _verdict_on_status(status)
        case HttpFailed(status=status):
            return _verdict_on_status(status)
        case BadFrame():
            return Verdict.GIVE_UP
        case _:
            return Verdict.RETRY


class Reconnecting:
    def __init__(
        self,
        attempt: Callable[[Callable[[], None]], Awaitable[None]],
        renew: Callable[[], Awaitable[None]] | None,
        timer: Timer,
        backoff: Backoff,
        on_state: Callable[[ConnectionState], None],
    ) -> None:
        """
        Args:
            attempt: a try; it gets a function to call when it is online, and always raises:
                a ClientError that says why it ended.
            renew: gets a new token; None when there is none to be had.
            on_state: is told of every state, while waiting once a second.
        """
        self.state = ConnectionState(Phase.CONNECTING)
        self._attempt = attempt
        self._renew = renew
        self._timer = timer
        self._backoff = backoff
        self._on_state = on_state
        self._needs_token = False
        self._has_new_token = False
        """It has not been online since: if this one is refused too, no other will do."""
        self._online_since: float | None = None
        self._again = False
        """Somebody wants it tried now."""
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._again = False
            self._set(ConnectionState(Phase.CONNECTING, tries=self._backoff.failures))
            error = await self._try()
            seconds = self._decide(error)
            if seconds is None:
                self._set(ConnectionState(Phase.FAILED, tries=self._backoff.failures, cause=error))
                while not self._again:
                    self._wake.clear()
                    await self._wake.wait()
                self._backoff.reset()
                self._has_new_token = False
            else:
                await self._wait(seconds, error)

    def try_now(self) -> None:
        """Do not wait any longer; after a failure, begin anew."""
        self._again = True
        self._wake.set()

    def fail(self, cause: ClientError) -> None:
        """`run` has ended by itself: a bug."""
        self._set(ConnectionState(Phase.FAILED, cause=cause))

    def closed(self) -> None:
        """`run` was cancelled for good."""
        self._set(ConnectionState(Phase.CLOSED))

    async def _try(self) -> ClientError:
        self._online_since = None
        try:
            if self._needs_token and self._renew is not None:
                await self._renew()
                self._needs_token, self._has_new_token = False, True
            await self._attempt(self._online)
        except ClientError as error:
            return error
        raise AssertionError("a try ends with the reason why it did")

    def _online(self) -> None:
        self._online_since = self._timer.now()
        self._has_new_token = self._again = False
        self._set(ConnectionState(Phase.ONLINE))

    def _decide(self, error: ClientError) -> float | None:
        """Seconds until the next try; None for no other."""
        since = self._online_since
        if since is not None and self._timer.now() - since >= STABLE_SECONDS:
            self._backoff.reset()
        verdict = verdict_on(error)
        if verdict is Verdict.RENEW:
            if self._renew is None or self._has_new_token:
                return None
            self._needs_token = True
        elif verdict is Verdict.GIVE_UP:
            return None
        seconds = self._backoff.next()
        if seconds is not None and isinstance(error, RequestFailed) and error.retry_after_ms:
            seconds = max(seconds, error.retry_after_ms / 1000)
        return seconds

    async def _wait(self, seconds: float, cause: ClientError) -> None:
        until = self._timer.now() + seconds
        while not self._again and (left := until - self._timer.now()) > 0:
            self._set(ConnectionState(Phase.WAITING, left, self._backoff.failures, cause))
            self._wake.clear()
            handle = self._timer.call_later(min(left, _TICK_SECONDS), self._wake.set)
            try:
                await self._wake.wait()
            finally:
                handle.cancel()

    def _set(self, state: ConnectionState) -> None:
        self.state = state
        self._on_state(state)


def _verdict_on_close(code: int) -> Verdict:
    if code == CloseCode.TOKEN_EXPIRED:
        return Verdict.RENEW
    return Verdict.RETRY if may_reconnect(code) else Verdict.GIVE_UP


def _verdict_on_status(status: int) -> Verdict:
    return Verdict.RETRY if status >= 500 or status in _MAY_PASS else Verdict.GIVE_UP
