"""Who does not want to hear of whom."""

from typing import Final

from chatd.auth import Principal
from chatd.clock import Clock
from chatd.errors import ChatError, invalid_field, no_such_user
from chatd.services.accounts import Accounts
from chatd.services.presence import Presence
from chatd.stores.user_store import UserStore
from protocol.errors import ErrorCode

BLOCKS: Final = 1_000
"""Of one user; at the limit TOO_LARGE."""


class Blocks:
    def __init__(
        self, users: UserStore, accounts: Accounts, presence: Presence, clock: Clock
    ) -> None:
        self._users = users
        self._accounts = accounts
        self._presence = presence
        self._clock = clock

    async def block(self, principal: Principal, username: str) -> bool:
        """From the return on neither can write to the other nor sees whether it is online; False
        when it was so before.

        Raises:
            ChatError: INVALID_FIELD for oneself, NO_SUCH_USER, TOO_LARGE.
        """
        if username == principal.username:
            raise invalid_field("username", "one cannot block oneself")
        if not await self._accounts.exists(username):
            raise no_such_user(username)
        blocked = await self._users.blocks(principal.username)
        if len(blocked) >= BLOCKS and username not in blocked:
            raise ChatError(ErrorCode.TOO_LARGE, f"one may block at most {BLOCKS} users")
        is_new = await self._users.block(principal.username, username, self._clock.now_ms())
        await self._presence.blocked(principal.username, username)
        return is_new

    async def unblock(self, principal: Principal, username: str) -> bool:
        """Take a block back; False when there was none."""
        was_blocked = await self._users.unblock(principal.username, username)
        if was_blocked and await self._users.friends_among(principal.username, [username]):
            self._presence.befriended(principal.username, username)
        return was_blocked

    async def blocked(self, principal: Principal) -> list[str]:
        """Whom the caller has blocked, by name."""
        return await self._users.blocks(principal.username)
