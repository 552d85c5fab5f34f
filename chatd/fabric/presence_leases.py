"""Port PresenceLeases: who is online, as leases that die unless renewed.

A user is online while at least one holder (a connection, by its id) has a lease. Losing all leases
makes everybody offline until their next renewal, and nothing else.
"""

from collections.abc import Sequence
from typing import Protocol


class PresenceLeases(Protocol):
    async def renew(self, username: str, holder: str, ttl_seconds: float) -> bool:
        """Hold a lease for `ttl_seconds` from now. True when the user was offline before."""
        ...

    async def release(self, username: str, holder: str) -> bool:
        """End a lease. True when it was the user's last; False too when it had already run out."""
        ...

    async def online(self, usernames: Sequence[str]) -> set[str]:
        """Those of the users who hold a lease."""
        ...

    async def sweep(self) -> list[str]:
        """Take the users whose last lease ran out without a release; each is told
        once, to one caller."""
        ...
