"""Port Cache: what is cheap to lose and dear to look up.

No call fails: while the cache is gone nothing is found in it, and what is put or dropped is not.
So what must not be found again once it was dropped needs more than a cache: a version in its key,
or a time to live that one can bear.
"""

from typing import Protocol


class Cache(Protocol):
    async def get(self, key: str) -> bytes | None:
        """What was put under the key, unless it has expired, was dropped or made room
        for something else."""
        ...

    async def put(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Keep the value for at most `ttl_seconds`, replacing what was there."""
        ...

    async def drop(self, key: str) -> None:
        """Forget the key, if it is there."""
        ...
