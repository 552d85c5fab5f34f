"""Bytes of the server to typed frames. Strict: what `protocol.pushes` lacks is an error here."""

from typing import Final

import msgspec

from protocol.pushes import ServerFrame
from testclients.errors import BadFrame

_decoder: Final[msgspec.json.Decoder[ServerFrame]] = msgspec.json.Decoder(ServerFrame)


def decode(data: bytes) -> ServerFrame:
    """The frame that one message holds.

    Raises:
        BadFrame: it holds none; the message shows the problem and the beginning of the bytes.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadFrame(f"the server sent no frame: {error}: {data[:200]!r}") from None
