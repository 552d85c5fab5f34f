"""The client of the job queue's Redis: the one that RQ wants, which waits for its answers. For
threads alone."""

from typing import Final

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

SECONDS: Final = 5.0
"""How long an answer, or a connection, may take."""
FAILURES: Final = (RedisError, OSError)
"""What a call raises when Redis is gone, or refuses it."""

QueueRedis = Redis


def connect(url: str) -> QueueRedis:
    """A client, which connects when it is used.

    Raises:
        ValueError: the URL cannot be used.
    """
    # Whoever calls knows better whether to try again.
    once = Retry(NoBackoff(), 0)
    return Redis.from_url(url, socket_timeout=SECONDS, socket_connect_timeout=SECONDS, retry=once)
