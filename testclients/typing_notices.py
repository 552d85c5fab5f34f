"""Telling others that the user is typing: renewed while it goes on, taken back when it stops."""

from collections.abc import Callable
from typing import Final

from protocol import requests
from testclients.events import Where
from testclients.timer import Handle, Timer

RENEW_SECONDS: Final = 3.0
REF: Final = "typing"
"""Of every TYPING: it has no reply but a refusal."""


class TypingNotices:
    def __init__(self, timer: Timer, post: Callable[[requests.Typing], None]) -> None:
        """`post` sends a request, or does nothing when there is no connection."""
        self._timer = timer
        self._post = post
        self._renewals: dict[Where, Handle] = {}
        """Where the user types."""

    def start(self, where: Where) -> None:
        """The user types there until `stop`; while it does, nothing changes."""
        if where not in self._renewals:
            self._renew(where)

    def stop(self, where: Where) -> None:
        """The user does not type there any more."""
        renewal = self._renewals.pop(where, None)
        if renewal is not None:
            renewal.cancel()
            self._tell(where, False)

    def end(self) -> None:
        """Nobody is told any more: the client closes, or the server has refused."""
        for renewal in self._renewals.values():
            renewal.cancel()
        self._renewals.clear()

    def _renew(self, where: Where) -> None:
        self._renewals[where] = self._timer.call_later(RENEW_SECONDS, lambda: self._renew(where))
        self._tell(where, True)

    def _tell(self, where: Where, is_typing: bool) -> None:
        self._post(
            requests.Typing(
                ref=REF, chat_id=where.chat_id, group_id=where.group_id, is_typing=is_typing
            )
        )
