"""The in-process PresenceLeases. Bounded by the number of connections, each of
which holds one lease."""

from collections.abc import Callable, Sequence

from chatd.clock import Clock


class MemoryPresenceLeases:
    is_known = True

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.restored: Callable[[], None] | None = None
        self._leases: dict[str, dict[str, float]] = {}

    async def renew(self, username: str, holder: str, ttl_seconds: float) -> bool:
        now = self._clock.monotonic()
        holders = self._leases.setdefault(username, {})
        was_online = any(end > now for end in holders.values())
        holders[holder] = now + ttl_seconds
        return not was_online

    async def renew_all(self, leases: Sequence[tuple[str, str]], ttl_seconds: float) -> list[str]:
        return [
            username
            for username, holder in leases
            if await self.renew(username, holder, ttl_seconds)
        ]

    async def release(self, username: str, holder: str) -> bool:
        now = self._clock.monotonic()
        holders = self._leases.get(username)
        if holders is None:
            return False
        end = holders.get(holder, now)
        if end <= now:
            # It ran out and was not told yet: that is left to the sweep.
            return False
        del holders[holder]
        if any(other > now for other in holders.values()):
            return False
        # What other holders left behind ran out before: this was the end of the user's presence.
        del self._leases[username]
        return True

    async def online(self, usernames: Sequence[str]) -> set[str]:
        now = self._clock.monotonic()
        return {
            username
            for username in usernames
            if any(end > now for end in self._leases.get(username, {}).values())
        }

    async def sweep(self) -> list[str]:
        now = self._clock.monotonic()
        gone = [
            username
            for username, holders in self._leases.items()
            if all(end <= now for end in holders.values())
        ]
        for username in gone:
            del self._leases[username]
        return gone

    async def check(self) -> None:
        return
