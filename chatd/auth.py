"""Who is asking: password hashes, tokens, and the Principal that every service
method takes first."""

import hashlib
from typing import Final, NamedTuple

import bcrypt
import jwt

from chatd.errors import ChatError
from protocol.errors import ErrorCode

PASSWORD_BYTES_MIN: Final = 8
PASSWORD_BYTES_MAX: Final = 72
TOKEN_SECONDS: Final = 7 * 24 * 3600
_ALGORITHM: Final = "HS256"


class Principal(NamedTuple):
    """The authenticated user behind a request. Identity comes from the token alone,
    never from a frame."""

    username: str
    device_id: str
    expires_at: int
    """Seconds since the epoch at which the token ends."""


class Claims(NamedTuple):
    """What a verified token says."""

    principal: Principal
    issued_at_ms: int
    """Compared with the account's `valid_after`: tokens issued before it are revoked."""


class InvalidToken(Exception):
    """The token is not ours, is damaged, or has expired."""


class Tokens:
    """Signs and verifies access tokens (JWT, RFC 7519, HS256 only)."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(
        self, username: str, device_id: str, now_ms: int, lifetime: int = TOKEN_SECONDS
    ) -> str:
        """A token for one device of a user, valid for `lifetime` seconds."""
        now = now_ms // 1000
        claims = {
            "sub": username,
            "sid": device_id,
            "iat": now,
            "iam": now_ms,
            "exp": now + lifetime,
        }
        return jwt.encode(claims, self._secret, algorithm=_ALGORITHM)

    def verify(self, token: str, now_ms: int) -> Claims:
        """What the token claims. Nothing of it is looked at before the signature holds.

        Raises:
            InvalidToken: with the reason; never with the token.
        """
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                # The time is checked below, against our own clock.
                options={"require": ["sub", "exp"], "verify_exp": False, "verify_iat": False},
            )
            principal = Principal(str(claims["sub"]), str(claims["sid"]), int(claims["exp"]))
            issued_at_ms = int(claims["iam"])
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
            raise InvalidToken("not a token of this server") from None
        if principal.expires_at * 1000 <= now_ms:
            raise InvalidToken("the token has expired")
        return Claims(principal, issued_at_ms)


def check_password_strength(password: str) -> None:
    """Raises ChatError WEAK_PASSWORD for a password that is too short, or longer than
    bcrypt can tell apart."""
    size = len(password.encode())
    if not PASSWORD_BYTES_MIN <= size <= PASSWORD_BYTES_MAX:
        raise ChatError(
            ErrorCode.WEAK_PASSWORD,
            f"a password has {PASSWORD_BYTES_MIN} to {PASSWORD_BYTES_MAX} bytes,"
            f" this one has {size}",
        )
    if "\0" in password:
        raise ChatError(ErrorCode.WEAK_PASSWORD, "a password may not contain a NUL character")


def hash_password(password: str, cost: int) -> str:
    """bcrypt; takes a good part of a second of CPU: never on the loop."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


def password_matches(password: str, hashed: str) -> bool:
    """As slow as hashing. A password that could never have been set matches nothing."""
    raw = password.encode()
    if len(raw) > PASSWORD_BYTES_MAX or b"\0" in raw:
        raw = b""
    return bcrypt.checkpw(raw, hashed.encode())


def hash_refresh_token(token: str) -> str:
    """Refresh tokens have 256 random bits: one fast hash is enough to store them safely."""
    return hashlib.sha256(token.encode()).hexdigest()
