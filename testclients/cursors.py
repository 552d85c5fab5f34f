"""The user's own cursors: what the application has consumed is acked, what was read is marked.

Coalesced: at most one ACK and one MARK_READ per conversation each INTERVAL_SECONDS, with the
highest number. What a lost connection left unanswered is sent again on the next one. Limit: one
number per cursor that the server has not confirmed.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from protocol import pushes, requests
from protocol.pushes import Reply
from testclients.events import Where
from testclients.timer import Handle, Timer

INTERVAL_SECONDS: Final = 0.5

Move = type[requests.Ack] | type[requests.MarkRead]
Post = Callable[[requests.Ack | requests.MarkRead, Callable[[Reply], None]], None]


class Cursors:
    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self._post: Post | None = None
        """None while there is no connection."""
        self._wanted: dict[tuple[Move, Where], int] = {}
        """What the server has not confirmed yet."""
        self._under_way: set[tuple[Move, Where]] = set()
        self._interval = INTERVAL_SECONDS
        self._next_at = timer.now()
        self._handle: Handle | None = None

    @property
    def is_settled(self) -> bool:
        """The server has confirmed everything."""
        return not self._wanted

    def move(self, kind: Move, where: Where, seq: int) -> None:
        """The user has consumed, or read, everything up to `seq`; forward only."""
        key = (kind, where)
        self._wanted[key] = max(seq, self._wanted.get(key, 0))
        self._arm()

    def connected(self, post: Post) -> None:
        """There is a connection: `post` sends a request and hands its reply to a function."""
        self._post = post
        self._arm()

    def disconnected(self) -> None:
        self._post = None
        self._under_way.clear()
        self._disarm()

    def forget(self, where: Where | None = None) -> None:
        """The cursors of a conversation, or all of them, mean nothing any more."""
        for key in [key for key in self._wanted if where is None or key[1] == where]:
            del self._wanted[key]

    def hurry(self) -> None:
        """Send what there is to send now, and from now on as soon as it may be."""
        self._interval = 0.0
        self._next_at = self._timer.now()
        self._flush()

    def _flush(self) -> None:
        self._disarm()
        if self._post is None:
            return
        self._next_at = self._timer.now() + self._interval
        for key in [key for key in self._wanted if key not in self._under_way]:
            kind, where = key
            seq = self._wanted[key]
            self._under_way.add(key)
            frame = kind(chat_id=where.chat_id, group_id=where.group_id, seq=seq)
            self._post(frame, partial(self._answered, key, seq))

    def _answered(self, key: tuple[Move, Where], seq: int, reply: Reply) -> None:
        self._under_way.discard(key)
        is_refused_for_a_time = isinstance(reply, pushes.Error) and reply.temporary
        if not is_refused_for_a_time and self._wanted.get(key, 0) <= seq:
            # Refused for good counts too: the next move says more.
            self._wanted.pop(key, None)
        wait_ms = reply.retry_after_ms if isinstance(reply, pushes.Error) else None
        if wait_ms is not None:
            self._arm(wait_ms / 1000)
        else:
            self._arm(INTERVAL_SECONDS if is_refused_for_a_time else 0)

    def _arm(self, at_least: float = 0) -> None:
        if self._post is None or self._handle is not None:
            return
        if not self._wanted.keys() - self._under_way:
            return
        seconds = max(at_least, self._next_at - self._timer.now(), 0)
        self._handle = self._timer.call_later(seconds, self._flush)

    def _disarm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
