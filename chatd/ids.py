"""Ids: made here, opened here, refused here.

A message id names its place (conversation, sequence) and carries 48 random bits, so that it is
unique without clocks or leases, found without an index, and cannot be guessed. To clients it is
opaque. Its form is eight characters of URL-safe base64 (the random bits), the sequence in decimal,
a dot, the conversation id.
"""

import base64
import re
import secrets
from collections.abc import Callable
from typing import Final, NamedTuple

_MESSAGE_ID: Final = re.compile(r"([A-Za-z0-9_-]{8})([1-9][0-9]{0,15})\.([a-z0-9_.\-]{1,65})\Z")
_NONCE_BYTES: Final = 6
_NONCES_A_BLOCK: Final = 256
_CONNECTION_ID_BYTES: Final = 9
_GROUP_EPOCH_MS: Final = 1_704_067_200_000
_GROUP_RANDOM_BITS: Final = 22
_GROUP_STEP_BITS: Final = 10


class InvalidId(ValueError):
    """The text is not an id that this module makes."""


class Place(NamedTuple):
    """Where a message is: what its id says."""

    conversation_id: str
    seq: int
    nonce: int


class Nonces:
    """Random bits for message ids, from the system in blocks: one call of it a
    message would be dear."""

    def __init__(self, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._random_bytes = random_bytes
        self._block = b""
        self._next = 0

    def new(self) -> int:
        """48 random bits, never the same ones twice."""
        if self._next == len(self._block):
            self._block = self._random_bytes(_NONCE_BYTES * _NONCES_A_BLOCK)
            self._next = 0
        start = self._next
        self._next = start + _NONCE_BYTES
        return int.from_bytes(self._block[start : self._next], "big")


def message_id(conversation_id: str, seq: int, nonce: int) -> str:
    """The id of the message at `seq` of a conversation; at most 90 characters."""
    return f"{base64.urlsafe_b64encode(nonce.to_bytes(6, 'big')).decode()}{seq}.{conversation_id}"


def open_message_id(text: str) -> Place:
    """The place that a message id names.

    Raises:
        InvalidId: it has another form. (That the place exists is the store's to say.)
    """
    match = _MESSAGE_ID.match(text)
    if match is None:
        raise InvalidId(text)
    return Place(match[3], int(match[2]), int.from_bytes(base64.urlsafe_b64decode(match[1]), "big"))


def direct_id(one: str, other: str) -> str:
    """The id of the direct conversation of two users: their names in byte order.
    Computed, never parsed."""
    return f"{one}-{other}" if one < other else f"{other}-{one}"


class GroupIds:
    """Makes group ids: the time in milliseconds above 22 random bits, in decimal, without a hyphen.

    One maker never makes the same id twice, however many are asked for in a millisecond; two makers
    hardly ever do, and the store refuses the second.
    """

    def __init__(self, random_bits: Callable[[int], int] = secrets.randbits) -> None:
        self._random_bits = random_bits
        self._last = -1

    def new(self, now_ms: int) -> str:
        since = max(now_ms - _GROUP_EPOCH_MS, 0)
        made = since << _GROUP_RANDOM_BITS | self._random_bits(_GROUP_RANDOM_BITS)
        if made <= self._last:
            made = self._last + 1 + self._random_bits(_GROUP_STEP_BITS)
        self._last = made
        return str(made)


def new_connection_id() -> str:
    return secrets.token_urlsafe(_CONNECTION_ID_BYTES)


def new_device_id() -> str:
    return secrets.token_urlsafe(12)
