"""Gaps on an open connection: waited for, then asked for, then a new connection is needed.

The server sends a conversation's events in order, but an ack may overtake them, so most gaps close
by themselves. One that stays GAP_SECONDS, or that GAP_EVENTS wait behind, is asked for by RESUME.
When that was answered and so long again nothing of it has come, the connection is not what the
server believes it to be.
"""

from collections.abc import Callable
from typing import Final

from testclients.order import Order
from testclients.timer import Handle, Timer

GAP_SECONDS: Final = 2.0
GAP_EVENTS: Final = 100


class _Gap:
    __slots__ = ("after", "is_answered", "is_asked", "timer")

    def __init__(self, after: int) -> None:
        self.after = after
        """The number before the first that is missing."""
        self.is_asked = False
        self.is_answered = False
        self.timer: Handle | None = None


class Mending:
    """Of one connection."""

    def __init__(
        self,
        timer: Timer,
        order: Order,
        ask: Callable[[str, int], None],
        give_up: Callable[[str], None],
    ) -> None:
        """`ask` sends a RESUME with a conversation and a position; `give_up` ends the connection
        for the sake of a conversation."""
        self._timer = timer
        self._order = order
        self._ask = ask
        self._give_up = give_up
        self._gaps: dict[str, _Gap] = {}

    def look(self, conversation: str) -> None:
        """An event of the conversation has come."""
        waiting = self._order.gap(conversation)
        gap = self._gaps.get(conversation)
        if gap is not None and (waiting is None or gap.after != self._order.last(conversation)):
            self._forget(conversation)
            gap = None
        if waiting is None:
            return
        if gap is None:
            gap = self._gaps[conversation] = _Gap(self._order.last(conversation))
            self._wait(conversation, gap)
        if waiting >= GAP_EVENTS and not gap.is_asked:
            self._resume(conversation, gap)

    def answered(self, conversation: str) -> None:
        """The RESUME for the conversation was answered; what it brought has come before."""
        self.look(conversation)
        gap = self._gaps.get(conversation)
        if gap is not None and gap.is_asked and not gap.is_answered:
            gap.is_answered = True
            self._wait(conversation, gap)

    def stop(self) -> None:
        """The connection has ended."""
        for conversation in list(self._gaps):
            self._forget(conversation)

    def _wait(self, conversation: str, gap: _Gap) -> None:
        gap.timer = self._timer.call_later(GAP_SECONDS, lambda: self._over(conversation, gap))

    def _over(self, conversation: str, gap: _Gap) -> None:
        if self._gaps.get(conversation) is not gap:
            return
        if not gap.is_asked:
            self._resume(conversation, gap)
        elif gap.is_answered:
            self._give_up(conversation)

    def _resume(self, conversation: str, gap: _Gap) -> None:
        gap.is_asked = True
        if gap.timer is not None:
            gap.timer.cancel()
        self._ask(conversation, gap.after)

    def _forget(self, conversation: str) -> None:
        gap = self._gaps.pop(conversation)
        if gap.timer is not None:
            gap.timer.cancel()
