"""From the driver to the loop: the driver has a thread of its own, where it tells what came back.
That is gathered and handed to the loop in one wake-up, however much it is.

Limits: `REQUESTS` under way; beyond it BackendError. A call takes at most `SECONDS` or what its
caller says; then BackendError, and what it asked for may still happen.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from cassandra.cluster import ResponseFuture

from chatd.errors import BackendError
from chatd.stores.open_cassandra import one_line

REQUESTS: Final = 2_000
"""Far below what a connection can have (32,768): at that limit the driver would block the loop."""
SECONDS: Final = 10.0

Row = tuple[Any, ...]


class Bridge:
    """See the module. On the running loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._answered: deque[_Call] = deque()
        """What was not handed over to the loop yet."""
        self._is_handing_over = False
        self._calls: set[_Call] = set()
        """Those that the driver is at, also when nobody waits for them any more."""
        self._under_way = 0
        """Their requests."""

    def make_room(self, count: int) -> None:
        """Before so many requests are sent. Raises BackendError: too many are under way."""
        if self._under_way + count > REQUESTS:
            raise BackendError(f"Cassandra: {REQUESTS} requests are under way")

    def wait(
        self, sent: Sequence[ResponseFuture], seconds: float | None = None
    ) -> "asyncio.Future[list[Row]]":
        """A future that is done when all of them are answered; with the rows of one, if it has
        any. Its error is BackendError, caused by that of one of them."""
        seconds = SECONDS if seconds is None else seconds
        call = _Call(self._loop, len(sent), seconds, self._hand_over)
        self._calls.add(call)
        self._under_way += len(sent)
        for one in sent:
            one.add_callbacks(call.succeeded, call.failed)
        if not sent:
            self._hand_over(call)
        return call.future

    def close(self, reason: str) -> None:
        """Fail what waits: the driver will not answer any more."""
        for call in self._calls:
            call.fail(reason)

    def _hand_over(self, call: "_Call") -> None:
        """Have the loop told of a call that is answered. On any thread."""
        self._answered.append(call)
        if not self._is_handing_over:
            self._is_handing_over = True
            try:
                self._loop.call_soon_threadsafe(self._resolve)
            except RuntimeError:
                # The loop is closed: nobody waits any more.
                self._answered.clear()

    def _resolve(self) -> None:
        # Before the first is taken: what comes from now on wakes the loop again.
        self._is_handing_over = False
        while self._answered:
            call = self._answered.popleft()
            self._calls.discard(call)
            self._under_way -= call.count
            call.resolve()


class _Call:
    """Requests that one future waits for."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        count: int,
        seconds: float,
        when_answered: Callable[["_Call"], None],
    ) -> None:
        self.count = count
        self.future: asyncio.Future[list[Row]] = loop.create_future()
        self._timer = loop.call_later(seconds, self.fail, f"no answer within {seconds:g} s")
        self._when_answered = when_answered
        self._unanswered = count
        self._rows: list[Row] = []
        self._error: BaseException | None = None
        self._lock = threading.Lock()

    def succeeded(self, rows: list[Row] | None) -> None:
        """Of one request. On any thread."""
        if rows:
            self._rows = rows
        self._answer()

    def failed(self, error: BaseException) -> None:
        """Of one request. On any thread."""
        self._error = error
        self._answer()

    def _answer(self) -> None:
        with self._lock:
            self._unanswered -= 1
            is_last = not self._unanswered
        if is_last:
            self._when_answered(self)

    def resolve(self) -> None:
        """On the loop, when all were answered."""
        self._timer.cancel()
        if self._error is not None:
            self.fail(one_line(self._error), self._error)
        elif not self.future.done():
            self.future.set_result(self._rows)

    def fail(self, reason: str, cause: BaseException | None = None) -> None:
        """On the loop."""
        self._timer.cancel()
        if not self.future.done():
            error = BackendError(f"Cassandra: {reason}")
            error.__cause__ = cause
            self.future.set_exception(error)
