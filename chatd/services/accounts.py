"""Register, log in, log out; whose token this is; who exists."""

import asyncio
import re
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import Final, NamedTuple, TypeVar

import msgspec

from chatd import ids
from chatd.auth import (
    TOKEN_SECONDS,
    InvalidToken,
    Principal,
    Tokens,
    check_password_strength,
    hash_password,
    hash_refresh_token,
    password_matches,
)
from chatd.clock import Clock
from chatd.errors import ChatError, invalid_field
from chatd.fabric.cache import Cache
from chatd.fabric.name_filter import NameFilter, of_user
from chatd.metrics import Metrics
from chatd.services.control import Control
from chatd.stores.user_store import Device, UsernameTaken, UserStore
from protocol.errors import ErrorCode
from protocol.model import USERNAME_PATTERN, User

REFRESH_MS: Final = 30 * 24 * 3600 * 1000
HASHES_AT_ONCE: Final = 2
HASHES_WAITING: Final = 100
"""At the limit log-in and registration answer RATE_LIMITED."""
DISPLAY_NAME_CHARS: Final = 100
_PROFILE_TTL_SECONDS: Final = 300
_USERNAME: Final = re.compile(USERNAME_PATTERN)

T = TypeVar("T")


class Registration(StrEnum):
    """Who may make an account."""

    OPEN = "open"
    INVITE = "invite"
    CLOSED = "closed"


class LoggedIn(NamedTuple):
    token: str
    refresh_token: str
    expires_in: int
    """Seconds until the token ends."""
    user: User


class Accounts:
    def __init__(
        self,
        users: UserStore,
        cache: Cache,
        tokens: Tokens,
        control: Control,
        clock: Clock,
        metrics: Metrics,
        *,
        registration: Registration,
        bcrypt_cost: int,
        names: NameFilter,
    ) -> None:
        self._users = users
        self._cache = cache
        self._tokens = tokens
        self._control = control
        self._clock = clock
        self._metrics = metrics
        self._registration = registration
        self._bcrypt_cost = bcrypt_cost
        self._names = names
        self._hashers = ThreadPoolExecutor(HASHES_AT_ONCE, thread_name_prefix="bcrypt")
        self._hashing = 0
        self._nobody = hash_password(secrets.token_urlsafe(16), bcrypt_cost)
        """What the password of a user who does not exist is compared with, so that
        it takes as long."""

    async def register(self, username: str, password: str, display_name: str | None) -> LoggedIn:
        """Make an account and log it in.

        Raises:
            ChatError: FORBIDDEN or INVITE_EXPIRED, INVALID_FIELD, WEAK_PASSWORD,
                USERNAME_TAKEN, RATE_LIMITED.
        """
        if self._registration is Registration.CLOSED:
            raise ChatError(
                ErrorCode.FORBIDDEN, "registration is closed; ask the operator for an account"
            )
        if self._registration is Registration.INVITE:
            raise ChatError(ErrorCode.INVITE_EXPIRED, "registration needs an invite that is valid")
        await self.create(username, password, display_name)
        return await self._log_in(User(username=username, display_name=display_name))

    async def create(self, username: str, password: str, display_name: str | None) -> None:
        """Make an account, whoever may register.

        Raises:
            ChatError: INVALID_FIELD, WEAK_PASSWORD, USERNAME_TAKEN, RATE_LIMITED.
        """
        if not _USERNAME.match(username):
            raise invalid_field("username", "3-32 of a-z 0-9 _ . beginning with a letter or digit")
        if display_name is not None and not (
            0 < len(display_name) <= DISPLAY_NAME_CHARS and display_name.isprintable()
        ):
            raise invalid_field("displayName", f"1 to {DISPLAY_NAME_CHARS} printable characters")
        check_password_strength(password)
        if await self.exists(username):
            raise ChatError(ErrorCode.USERNAME_TAKEN, f"the username {username} is taken")
        hashed = await self._hash(lambda: hash_password(password, self._bcrypt_cost))
        try:
            async with self._names.entering(of_user(username)):
                await self._users.create(username, hashed, display_name, self._clock.now_ms())
        except UsernameTaken:
            raise ChatError(ErrorCode.USERNAME_TAKEN, f"the username {username} is taken") from None

    async def log_in(
        self, username: str, password: str, device_name: str | None = None
    ) -> LoggedIn:
        """A new device of the user.

        Raises:
            ChatError: WRONG_CREDENTIALS, the same for a wrong name and a wrong
                password; INVALID_FIELD, RATE_LIMITED.
        """
        if device_name is not None and not (
            0 < len(device_name) <= DISPLAY_NAME_CHARS and device_name.isprintable()
        ):
            raise invalid_field("deviceName", f"1 to {DISPLAY_NAME_CHARS} printable characters")
        credentials = await self._users.credentials(username) if _USERNAME.match(username) else None
        hashed = self._nobody if credentials is None else credentials.password_hash
        matches = await self._hash(lambda: password_matches(password, hashed))
        if credentials is None or not matches or credentials.is_banned:
            raise ChatError(
                ErrorCode.WRONG_CREDENTIALS, "no account has this username with this password"
            )
        profile = await self.profile(username)
        assert profile is not None
        return await self._log_in(profile, device_name)

    async def refresh(self, refresh_token: str) -> LoggedIn:
        """A new token for a device; its refresh token is exchanged for a new one.

        Raises:
            ChatError: UNAUTHENTICATED, the refresh token is unknown, used, expired or revoked.
        """
        now_ms = self._clock.now_ms()
        renewed = secrets.token_urlsafe(32)
        device = await self._users.rotate_refresh(
            hash_refresh_token(refresh_token),
            hash_refresh_token(renewed),
            now_ms + REFRESH_MS,
            now_ms,
        )
        if device is None:
            raise ChatError(
                ErrorCode.UNAUTHENTICATED,
                "the refresh token is used, expired or revoked; log in again",
            )
        token = self._tokens.sign(device.username, device.device_id, now_ms)
        profile = await self.profile(device.username)
        return LoggedIn(token, renewed, TOKEN_SECONDS, profile or User(username=device.username))

    async def log_out(self, principal: Principal, *, everywhere: bool) -> None:
        """Revoke the caller's device, or all of its devices, and close their connections."""
        now_ms = self._clock.now_ms()
        if everywhere:
            await self._users.revoke_all(principal.username, now_ms)
        await self._users.revoke_device(principal.username, principal.device_id, now_ms)
        self._control.revoked(principal.username, None if everywhere else principal.device_id)

    async def change_password(
        self, principal: Principal, current_password: str, new_password: str
    ) -> LoggedIn:
        """Set the caller's password; a new token for its device. All its other devices are logged
        out and their connections closed.

        Raises:
            ChatError: WRONG_CREDENTIALS, WEAK_PASSWORD, RATE_LIMITED.
        """
        username = principal.username
        check_password_strength(new_password)
        credentials = await self._users.credentials(username)
        assert credentials is not None
        old_hash = credentials.password_hash
        if not await self._hash(lambda: password_matches(current_password, old_hash)):
            raise ChatError(ErrorCode.WRONG_CREDENTIALS, "`currentPassword` is not your password")
        hashed = await self._hash(lambda: hash_password(new_password, self._bcrypt_cost))
        now_ms = self._clock.now_ms()
        await self._users.change_password(username, hashed, principal.device_id, now_ms)
        self._control.revoked(username, None, besides=principal.device_id)
        refresh_token = secrets.token_urlsafe(32)
        await self._users.renew_device(
            Device(
                principal.device_id,
                username,
                now_ms,
                hash_refresh_token(refresh_token),
                now_ms + REFRESH_MS,
            )
        )
        # Issued after everything that is refused from now on.
        token = self._tokens.sign(username, principal.device_id, now_ms + 1)
        user = await self.profile(username) or User(username=username)
        return LoggedIn(token, refresh_token, TOKEN_SECONDS, user)

    async def devices(self, principal: Principal) -> list[Device]:
        """Where the caller is logged in, newest first."""
        return await self._users.devices(principal.username)

    async def log_out_device(self, principal: Principal, device_id: str) -> bool:
        """Revoke one of the caller's devices and close its connections; False when it has no such
        device."""
        devices = await self._users.devices(principal.username)
        if device_id not in {device.device_id for device in devices}:
            return False
        await self._users.revoke_device(principal.username, device_id, self._clock.now_ms())
        self._control.revoked(principal.username, device_id)
        return True

    async def authenticate(self, token: str) -> Principal:
        """Whose token this is, if it is good.

        Raises:
            ChatError: UNAUTHENTICATED, with the reason.
        """
        try:
            claims = self._tokens.verify(token, self._clock.now_ms())
        except InvalidToken as error:
            raise ChatError(ErrorCode.UNAUTHENTICATED, str(error)) from None
        principal = claims.principal
        if not await self._users.is_admitted(
            principal.username, principal.device_id, claims.issued_at_ms
        ):
            raise ChatError(ErrorCode.UNAUTHENTICATED, "the token was revoked; log in again")
        return principal

    async def exists(self, username: str) -> bool:
        if await self._names.is_absent(of_user(username)):
            return False
        exists = await self.profile(username) is not None
        if not exists:
            self._names.asked_in_vain(username)
        return exists

    async def profile(self, username: str) -> User | None:
        """The user as others see it; None when there is no such account. May be
        some minutes old."""
        key = f"profile:{username}"
        cached = await self._cache.get(key)
        if cached is not None:
            self._metrics.cache_hits += 1
            return msgspec.json.decode(cached, type=User)
        self._metrics.cache_misses += 1
        account = (await self._users.accounts([username])).get(username)
        if account is None:
            # Not cached: a name that is free now may be registered in the next moment.
            return None
        user = User(username=username, display_name=account.display_name)
        await self._cache.put(key, msgspec.json.encode(user), _PROFILE_TTL_SECONDS)
        return user

    def close(self) -> None:
        self._hashers.shutdown(wait=False, cancel_futures=True)

    async def _log_in(self, user: User, device_name: str | None = None) -> LoggedIn:
        now_ms = self._clock.now_ms()
        device_id = ids.new_device_id()
        refresh_token = secrets.token_urlsafe(32)
        await self._users.add_device(
            Device(
                device_id,
                user.username,
                now_ms,
                hash_refresh_token(refresh_token),
                now_ms + REFRESH_MS,
                device_name,
            )
        )
        token = self._tokens.sign(user.username, device_id, now_ms)
        return LoggedIn(token, refresh_token, TOKEN_SECONDS, user)

    async def _hash(self, work: Callable[[], T]) -> T:
        """Run a password hash off the loop; it takes a good part of a second of CPU."""
        if self._hashing >= HASHES_WAITING:
            raise ChatError(
                ErrorCode.RATE_LIMITED, "too many log-ins at once; try again", retry_after_ms=2000
            )
        self._hashing += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._hashers, work)
        finally:
            self._hashing -= 1
