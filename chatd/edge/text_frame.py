"""The commonest thing that a client sends, read without the generators of websockets' core."""

from typing import Final

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without the library's compiled part
    from websockets.utils import apply_mask

_FINAL_TEXT: Final = 0x81
_MASKED: Final = 0x80
_LENGTH_IN_TWO_BYTES: Final = 126
_MASK_BYTES: Final = 4
_SHORTEST_FRAME: Final = 2 + _MASK_BYTES


def whole_text_frame(data: bytes) -> bytes | None:
    """The payload, when the bytes are exactly one masked, final, short text frame; None for
    anything else, which the core then parses and judges.

    RFC 6455 section 5.2. Only for between messages: not inside a fragmented one.
    """
    if len(data) < _SHORTEST_FRAME or data[0] != _FINAL_TEXT:
        return None
    size, start = data[1] - _MASKED, 2
    if size == _LENGTH_IN_TWO_BYTES:
        size, start = int.from_bytes(data[2:4], "big"), 4
    elif size > _LENGTH_IN_TWO_BYTES:
        return None
    if len(data) != start + _MASK_BYTES + size:
        return None
    masked_from = start + _MASK_BYTES
    return apply_mask(data[masked_from:], data[start:masked_from])
