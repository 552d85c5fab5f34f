"""Signatures of webhooks, as the Standard Webhooks specification has them (version 1, symmetric).

A secret is `whsec_` and base64 of 24 to 64 bytes. What is signed is the id of the message, the time
of the attempt in seconds and the body, joined by dots.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Final

PREFIX: Final = "whsec_"
KEY_BYTES: Final = range(24, 65)
_NEW_KEY_BYTES: Final = 32


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(_NEW_KEY_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """The key in a secret. Raises ValueError: it is none."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(PREFIX) or len(key) not in KEY_BYTES:
        raise ValueError(f"a secret is {PREFIX} and base64 of 24 to 64 bytes")
    return key


def sign(secret: str, message_id: str, at_seconds: int, body: bytes) -> str:
    """The value of `webhook-signature`. Raises ValueError: see `key_of`."""
    signed = b".".join([message_id.encode(), str(at_seconds).encode(), body])
    digest = hmac.new(key_of(secret), signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def headers(secret: str, message_id: str, at_seconds: int, body: bytes) -> dict[str, str]:
    """What goes along with a body. Raises ValueError: see `key_of`."""
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(at_seconds),
        "webhook-signature": sign(secret, message_id, at_seconds, body),
    }
