"""A timer of the client library that the test turns."""

import asyncio
from collections.abc import Callable

from tests.support.running import turns


class _Alarm:
    def __init__(self, at: float, callback: Callable[[], None]) -> None:
        self.at = at
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class HandTimer:
    """Starts at 0 seconds and stands still until it is turned."""

    def __init__(self) -> None:
        self._now = 0.0
        self._alarms: list[_Alarm] = []
        self._set = asyncio.Event()

    def now(self) -> float:
        return self._now

    def call_later(self, seconds: float, callback: Callable[[], None]) -> _Alarm:
        alarm = _Alarm(self._now + seconds, callback)
        self._alarms.append(alarm)
        self._set.set()
        return alarm

    @property
    def next_in(self) -> float | None:
        """Seconds until something is due; None when nothing is."""
        alarms = [alarm.at for alarm in self._alarms if not alarm.is_cancelled]
        return min(alarms) - self._now if alarms else None

    async def turn(self, seconds: float) -> None:
        """Let so much time pass, and whatever is due on the way happen in its order."""
        until = self._now + seconds
        while True:
            due = [alarm for alarm in self._alarms if not alarm.is_cancelled and alarm.at <= until]
            if not due:
                break
            first = min(due, key=lambda alarm: alarm.at)
            self._alarms.remove(first)
            self._now = max(self._now, first.at)
            first.callback()
            await turns()
        self._alarms = [alarm for alarm in self._alarms if not alarm.is_cancelled]
        self._now = until
        await turns()

    async def is_set(self) -> None:
        """Wait until something is to be due, now or later."""
        while self.next_in is None:
            self._set.clear()
            await self._set.wait()
