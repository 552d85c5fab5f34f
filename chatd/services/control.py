"""The end of a user's tokens, told to every node: connections that were let in by them are closed.

Travels by the bus, this node's part too, so that there is one path. The bus may lose it: the change
feed tells again within seconds, and every handshake asks the store.
"""

from typing import Final

import msgspec

from chatd.delivery.hub import Hub
from chatd.fabric.bus import Bus
from protocol.close import CloseCode

_TOPIC: Final = "control"


class _Revoked(msgspec.Struct, frozen=True):
    username: str
    device_id: str | None
    """None for all of the user's devices."""
    besides: str | None = None
    """A device that stays."""


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Revoked).decode


class Control:
    def __init__(self, bus: Bus, hub: Hub) -> None:
        self._bus = bus
        self._hub = hub

    async def start(self) -> None:
        await self._bus.subscribe((_TOPIC,), self._heard)

    async def stop(self) -> None:
        self._bus.unsubscribe((_TOPIC,), self._heard)

    def revoked(self, username: str, device_id: str | None, *, besides: str | None = None) -> None:
        """Close the connections of a device, or of all of a user's devices but one, on every
        node."""
        if not self._bus.is_connected:
            self.end(username, device_id, besides=besides)
        self._bus.publish(_TOPIC, _encode(_Revoked(username, device_id, besides)))

    def end(self, username: str, device_id: str | None, *, besides: str | None = None) -> None:
        """As `revoked`, on this node alone."""
        for outbox in self._hub.connections(username):
            device = outbox.principal.device_id
            if device != besides and device_id in (None, device):
                outbox.shut(CloseCode.TOKEN_REVOKED)

    def _heard(self, _: str, payload: bytes) -> None:
        revoked = _decode(payload)
        self.end(revoked.username, revoked.device_id, besides=revoked.besides)
