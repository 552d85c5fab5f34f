"""Port UserStore: accounts, devices, friendships, last seen.

Guarantees: what a method that writes has returned is durable. A username is never given out again.
Every method may raise BackendError; what a write asked for may then have happened or not.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class Account(NamedTuple):
    username: str
    display_name: str | None
    last_seen: int | None
    """Milliseconds since the epoch; None when never seen."""


class Credentials(NamedTuple):
    password_hash: str
    is_banned: bool


class Device(NamedTuple):
    """One log-in."""

    device_id: str
    username: str
    created_at: int
    refresh_hash: str
    refresh_expires_at: int
    """Milliseconds since the epoch."""
    name: str | None = None
    """As the user calls it."""


class UsernameTaken(Exception):
    """Another account has, or had, this username."""


class UserStore(Protocol):
    async def create(
        self, username: str, password_hash: str, display_name: str | None, at_ms: int
    ) -> None:
        """Make an account. Raises UsernameTaken."""
        ...

    async def credentials(self, username: str) -> Credentials | None:
        """What a log-in is checked against; None when there is no such account."""
        ...

    async def accounts(self, usernames: Sequence[str]) -> dict[str, Account]:
        """Those of the usernames that exist."""
        ...

    async def add_device(self, device: Device) -> None:
        """Record a log-in."""
        ...

    async def rotate_refresh(
        self, old_hash: str, new_hash: str, expires_at: int, now_ms: int
    ) -> Device | None:
        """Exchange a device's refresh token, once; None when it is unknown, used,
        expired or revoked."""
        ...

    async def revoke_device(self, username: str, device_id: str, at_ms: int) -> None:
        """Refuse every token of the device from now on, also when no log-in recorded it."""
        ...

    async def revoke_all(self, username: str, at_ms: int) -> None:
        """Refuse every token of the user that was issued up to `at_ms`."""
        ...

    async def devices(self, username: str) -> list[Device]:
        """The devices of the user that are not revoked, newest first; at most 1,000. Their refresh
        tokens are left out."""
        ...

    async def change_password(
        self, username: str, password_hash: str, keep_device: str, at_ms: int
    ) -> None:
        """Set the password, refuse every token that was issued up to `at_ms`, and revoke every
        device but the one that is kept."""
        ...

    async def renew_device(self, device: Device) -> None:
        """Give a device a new refresh token; the device is made when no log-in recorded it."""
        ...

    async def is_admitted(self, username: str, device_id: str, issued_at_ms: int) -> bool:
        """Whether a verified token is still good: account there, not banned, neither it nor
        its device revoked."""
        ...

    async def befriend(self, one: str, other: str, at_ms: int) -> None:
        """Make two users friends; nothing happens when they are."""
        ...

    async def friends(self, username: str) -> list[str]:
        """The friends of a user, by name, without those of whom one has blocked the other."""
        ...

    async def friends_among(self, username: str, others: Sequence[str]) -> set[str]:
        """Those of `others` who are the user's friends and not blocked."""
        ...

    async def block(self, username: str, blocked: str, at_ms: int) -> bool:
        """Let the user block another; False when it had. Counts for every append that begins
        after the return."""
        ...

    async def unblock(self, username: str, blocked: str) -> bool:
        """Take a block back; False when there was none."""
        ...

    async def blocks(self, username: str) -> list[str]:
        """Whom the user has blocked, by name."""
        ...

    async def blocked_among(self, username: str, others: Sequence[str]) -> set[str]:
        """Those of `others` who have blocked the user or whom it has blocked."""
        ...

    async def set_last_seen(self, seen: Mapping[str, int]) -> None:
        """Record when users were last online; an earlier time than the recorded
        one changes nothing."""
        ...

    async def log_id(self) -> str:
        """Identifies this body of data: made once with the store, new after a
        restore from backup."""
        ...

    async def usernames(self, after: str, limit: int) -> list[str]:
        """The names of all accounts that come after `after`, by name; at most `limit`."""
        ...

    async def names_epoch(self) -> str:
        """What a shared name filter must have been built for to be trusted: no two bodies of data
        have the same, and a restored one (log_id) has another."""
        ...

    async def renew_names_epoch(self) -> None:
        """Give the names a new epoch: a name that no filter may have is about to be made."""
        ...
