"""What a start asks of Redis, and readiness after it: that it is there and lets chatd in."""

import ssl
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    RedisError,
    ResponseError,
)

from chatd.errors import BackendError, StartError
from chatd.fabric.client_redis import RedisClient
from chatd.readiness import Facts
from chatd.waiting import endpoint

PORT: Final = 6379


def name_of(url: str) -> str:
    return f"Redis at {endpoint(url, PORT)}"


async def open_redis(url: str, setting: str) -> RedisClient:
    """The client of a start, connected.

    Raises:
        StartError: Redis refuses the user, the password, the database or the TLS, or the URL is not
            one that can be used; asking again will not help.
        BackendError: it is not there.
    """
    await _check(url, setting)
    client = RedisClient(url)
    await client.start()
    return client


async def _check(url: str, setting: str) -> None:
    # By redis-py, which tells refusals apart.
    try:
        redis = Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5)
    except (ValueError, TypeError) as error:
        raise StartError(f"bad value of {setting}: {error}") from None
    try:
        await redis.ping()
    except (RedisError, OSError, TimeoutError, TypeError) as error:
        if _is_final(error):
            raise StartError(f"{name_of(url)} refuses {setting}: {error}") from None
        raise BackendError(f"{name_of(url)}: {str(error) or 'no answer'}") from error
    finally:
        await redis.aclose()


async def probe_redis(client: RedisClient) -> Facts:
    """Raises BackendError."""
    about = await client.info()
    return Facts({"maxmemoryPolicy": about.get("maxmemory_policy")})


async def probe_queue_redis(queue: RedisClient, other: RedisClient) -> Facts:
    """The Redis of the job queue; `other` is that of bus and caches.

    Raises:
        BackendError
    """
    about = await queue.info()
    policy, has_aof = about.get("maxmemory_policy"), about.get("aof_enabled") == "1"
    warnings: list[str] = []
    try:
        is_shared = (await other.info("server")).get("run_id") == about.get("run_id")
    except BackendError:
        is_shared = False
    if is_shared:
        warnings.append(
            "the job queue is in the Redis of bus and caches, which is to be limited in memory and"
            " may be emptied: give it one of its own with CHATD_QUEUE_REDIS_URL"
        )
    if policy != "noeviction":
        warnings.append(
            f"the Redis of the job queue has maxmemory-policy {policy}: jobs may be evicted;"
            " set it to noeviction"
        )
    if not has_aof:
        warnings.append(
            "the Redis of the job queue has no append-only file: jobs do not outlive a restart;"
            " set appendonly to yes"
        )
    return Facts({"maxmemoryPolicy": policy, "appendOnly": has_aof}, warnings)


_BAD_TLS: Final = ssl.SSLError | FileNotFoundError
"""A certificate that is not trusted, or a file of them that is not there or holds none."""
_BROKEN_TLS: Final = ssl.SSLEOFError | ssl.SSLZeroReturnError


def _is_final(error: BaseException) -> bool:
    if isinstance(error, BusyLoadingError):
        return False
    # The driver wraps what the socket says, sometimes without naming it as the cause.
    beneath = error.__cause__ or error.__context__
    if isinstance(beneath, _BAD_TLS) and not isinstance(beneath, _BROKEN_TLS):
        return True
    refused = AuthenticationError | AuthorizationError | ResponseError | TypeError
    return isinstance(error, refused | _BAD_TLS)
