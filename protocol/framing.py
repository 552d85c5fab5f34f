"""The bytes of a server's text message (RFC 6455 section 5.2): no mask, no compression, one frame.

A server frame depends on nothing of the connection, so one object serves every recipient.
"""

from typing import Final

PING: Final = b"\x89\x00"
"""An empty ping."""


def text_message(payload: bytes) -> bytes:
    """Header and payload of one unfragmented text message."""
    size = len(payload)
    if size < 126:
        return b"\x81%c%b" % (size, payload)
    if size < 65_536:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), payload)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), payload)
