"""How fast clients may send frames: a token bucket for each connection and one for each user.

A frame takes tokens from both; when one has none left the frame is refused with RATE_LIMITED. A
refused frame costs too: who goes on, instead of waiting as long as it was told, gets into debt, and
at a debt as large as the bucket the connection is closed (4029). Cursors and typing, which clients
send for what others write, cost a fifth.

Limit: a user's bucket is kept while it is not full, and `USERS` of them; at the limit all are
forgotten, which gives everybody a full one.
"""

from typing import Final

from protocol import requests

CONNECTION_RATE: Final = 100.0
"""Frames a second, for long."""
CONNECTION_BURST: Final = 500.0
"""Frames at once."""
USER_RATE: Final = 200.0
USER_BURST: Final = 1_000.0
USERS: Final = 100_000
_CHEAP: Final = 0.2
_COSTS: Final[dict[type, float]] = {
    requests.Ack: _CHEAP,
    requests.MarkRead: _CHEAP,
    requests.Typing: _CHEAP,
}


class Bucket:
    __slots__ = ("_at", "burst", "rate", "tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self.tokens = burst
        self._at = now

    def take(self, cost: float, now: float) -> float:
        """What is left after a frame; below zero it was too much."""
        tokens = self.tokens + (now - self._at) * self.rate
        self._at = now
        self.tokens = (tokens if tokens < self.burst else self.burst) - cost
        return self.tokens


class FrameLimits:
    """The buckets of a node."""

    def __init__(self) -> None:
        self._users: dict[str, Bucket] = {}

    def new_connection(self, now: float) -> Bucket:
        return Bucket(CONNECTION_RATE, CONNECTION_BURST, now)

    def take(self, connection: Bucket, username: str, kind: type | None, now: float) -> Bucket:
        """Let a frame of a kind (None: it was no request) take its tokens; the bucket that has less
        of what it needs. It has too little when its tokens are below zero."""
        cost = 1.0 if kind is None else _COSTS.get(kind, 1.0)
        user = self._users.get(username)
        if user is None:
            if len(self._users) >= USERS:
                self._users.clear()
            user = self._users[username] = Bucket(USER_RATE, USER_BURST, now)
        left = connection.take(cost, now)
        return connection if left <= user.take(cost, now) else user

    def sweep(self, now: float) -> None:
        """Forget the buckets that are full again. Called now and then."""
        full = [
            username
            for username, bucket in self._users.items()
            if bucket.take(0, now) >= USER_BURST
        ]
        for username in full:
            del self._users[username]


def wait_ms(bucket: Bucket) -> int:
    """How long until a bucket without tokens has one, in milliseconds."""
    return max(int((1.0 - bucket.tokens) / bucket.rate * 1000) + 1, 1)


def is_flooding(bucket: Bucket) -> bool:
    return bucket.tokens <= -bucket.burst
