"""What every node must hear and no store keeps: pushes to a user, and the end of a user's tokens.

Travels by the bus, this node's part too, so that there is one path. The bus is at most once: a push
may be lost (the client finds the same in INIT_DATA), a revocation is checked at every handshake.
"""

from typing import Final

import msgspec

from chatd.delivery.hub import Hub
from chatd.fabric.bus import Bus
from protocol.close import CloseCode

_TOPIC: Final = "control"


class _Push(msgspec.Struct, frozen=True, tag="push"):
    usernames: list[str]
    data: bytes
    besides: str | None
    """A connection that is left out."""


class _Revoked(msgspec.Struct, frozen=True, tag="revoked"):
    username: str
    device_id: str | None
    """None for all of the user's devices."""
    besides: str | None = None
    """A device that stays."""


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Push | _Revoked).decode


class Control:
    def __init__(self, bus: Bus, hub: Hub) -> None:
        self._bus = bus
        self._hub = hub

    async def start(self) -> None:
        await self._bus.subscribe((_TOPIC,), self._heard)

    async def stop(self) -> None:
        self._bus.unsubscribe((_TOPIC,), self._heard)

    async def push(self, usernames: list[str], data: bytes, *, besides: str | None = None) -> None:
        """Send bytes of whole WebSocket frames to every connection of the users, on every node, but
        not to the connection that is left out."""
        self._bus.publish(_TOPIC, _encode(_Push(usernames, data, besides)))

    async def revoked(
        self, username: str, device_id: str | None, *, besides: str | None = None
    ) -> None:
        """Close the connections of a device, or of all of a user's devices but one, on every
        node."""
        self._bus.publish(_TOPIC, _encode(_Revoked(username, device_id, besides)))

    def _heard(self, _: str, payload: bytes) -> None:
        match _decode(payload):
            case _Push(usernames, data, besides):
                for username in usernames:
                    self._hub.send_to_user(username, data, besides=besides)
            case _Revoked(username, device_id, kept):
                for outbox in self._hub.connections(username):
                    device = outbox.principal.device_id
                    if device != kept and device_id in (None, device):
                        outbox.shut(CloseCode.TOKEN_REVOKED)
