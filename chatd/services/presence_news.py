"""What nodes tell each other of presence, by the bus: this node hears its own news too, so that
there is one path.

Changes that the bus cannot take are kept until it can, the last of each user, and no more than
`UNTOLD`; all of it may be lost.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import msgspec

from chatd.fabric.bus import Bus

UNTOLD: Final = 50_000
AT_ONCE: Final = 500
"""Users in one payload."""
_TOPIC: Final = "presence"


class _Change(msgspec.Struct, frozen=True, tag="change"):
    usernames: Sequence[str]
    last_seen: int | None


class _Friends(msgspec.Struct, frozen=True, tag="friends"):
    one: str
    other: str


class _Blocked(msgspec.Struct, frozen=True, tag="blocked"):
    one: str
    other: str


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Change | _Friends | _Blocked).decode


class Hearer(Protocol):
    def heard_change(self, usernames: Sequence[str], last_seen: int | None) -> None:
        """The users came online; or went offline at a time in ms."""
        ...

    def heard_friends(self, one: str, other: str) -> None:
        """Two users became friends."""
        ...

    def heard_blocked(self, one: str, other: str) -> None:
        """One of two users has blocked the other."""
        ...


class PresenceNews:
    def __init__(self, bus: Bus, hearer: Hearer) -> None:
        self._bus = bus
        self._hearer = hearer
        self._untold: dict[str, int | None] = {}
        """Changes that wait for the bus, by user."""

    async def start(self) -> None:
        await self._bus.subscribe((_TOPIC,), self._heard)

    def stop(self) -> None:
        self._bus.unsubscribe((_TOPIC,), self._heard)

    def change(self, usernames: Sequence[str], last_seen: int | None) -> None:
        """Tell every node what `Hearer.heard_change` says."""
        if not self._bus.is_connected:
            for username in usernames:
                if username in self._untold or len(self._untold) < UNTOLD:
                    self._untold[username] = last_seen
            return
        for some in batches(usernames):
            self._bus.publish(_TOPIC, _encode(_Change(some, last_seen)))

    def befriended(self, one: str, other: str) -> None:
        self._bus.publish(_TOPIC, _encode(_Friends(one, other)))

    def blocked(self, one: str, other: str) -> None:
        self._bus.publish(_TOPIC, _encode(_Blocked(one, other)))

    def tell_untold(self) -> None:
        """Tell the changes that were kept, if the bus can take them now."""
        if not self._untold or not self._bus.is_connected:
            return
        untold, self._untold = self._untold, {}
        together: dict[int | None, list[str]] = {}
        for username, last_seen in untold.items():
            together.setdefault(last_seen, []).append(username)
        for last_seen, usernames in together.items():
            self.change(usernames, last_seen)

    def _heard(self, _: str, payload: bytes) -> None:
        match _decode(payload):
            case _Change(usernames, last_seen):
                self._hearer.heard_change(usernames, last_seen)
            case _Friends(one, other):
                self._hearer.heard_friends(one, other)
            case _Blocked(one, other):
                self._hearer.heard_blocked(one, other)


def batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[at : at + AT_ONCE] for at in range(0, len(names), AT_ONCE))
