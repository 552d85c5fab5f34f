"""Port PresenceLeases: who is online, as leases that die unless renewed.

A user is online while at least one holder (a connection, by its id) has a lease. Losing all leases
makes everybody offline until their next renewal, and nothing else.

No call fails. While the fabric is gone nothing can be held or known: `is_known` is False, and the
answers are empty.
"""

from collections.abc import Callable, Sequence
from typing import Protocol


class PresenceLeases(Protocol):
    is_known: bool
    """Whether the last answer was the fabric's. Read right after a call, it tells nothing known
    from nobody online."""
    restored: Callable[[], None] | None
    """Told when leases may have been lost: the fabric was gone and is back, or has forgotten
    everything since an earlier `check`. Who holds some renews them now."""

    async def renew(self, username: str, holder: str, ttl_seconds: float) -> bool:
        """Hold a lease for `ttl_seconds` from now. True when the user was offline before."""
        ...

    async def renew_all(self, leases: Sequence[tuple[str, str]], ttl_seconds: float) -> list[str]:
        """The same for many, by username and holder; those of the users who were offline before,
        each once."""
        ...

    async def release(self, username: str, holder: str) -> bool:
        """End a lease. True when it was the user's last; False too when it had already run out.
        While the fabric is gone it runs out by itself."""
        ...

    async def online(self, usernames: Sequence[str]) -> set[str]:
        """Those of the users who hold a lease, as far as that is known."""
        ...

    async def sweep(self) -> list[str]:
        """Take the users whose last lease ran out without a release; each is told
        once, to one caller."""
        ...

    async def check(self) -> None:
        """Look whether the leases are still there; `restored` is told when they may not be. Called
        every few seconds."""
        ...
