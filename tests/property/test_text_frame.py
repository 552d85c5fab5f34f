"""The short way of reading a frame agrees with websockets' core, or leaves the bytes to it."""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import SERVER, Protocol, State

from chatd.edge.text_frame import whole_text_frame
from protocol.limits import FRAME_BYTES


def core_reads(data: bytes) -> bytes | None:
    """The payload, when the core finds exactly one whole text message and nothing else."""
    core = Protocol(SERVER, max_size=FRAME_BYTES)
    core.receive_data(data)
    events = core.events_received()
    if (
        len(events) != 1
        or core.reader.buffer
        or core.state is not State.OPEN
        or core.data_to_send()
    ):
        return None
    (frame,) = events
    assert isinstance(frame, Frame)
    return bytes(frame.data) if frame.opcode is Opcode.TEXT and frame.fin else None


def masked(payload: bytes, mask: bytes, first: int = 0x81, length: bytes | None = None) -> bytes:
    size = len(payload)
    if length is None:
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    body = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return bytes([first]) + length + mask + body


masks = st.binary(min_size=4, max_size=4)


@given(st.binary(max_size=600), masks)
@example(b"", b"\0\0\0\0")
@example(b"x" * 125, b"\1\2\3\4")
@example(b"x" * 126, b"\1\2\3\4")
@example(b"x" * 65_535, b"\1\2\3\4")
def test_a_whole_text_frame_is_read(payload: bytes, mask: bytes) -> None:
    data = masked(payload, mask)
    assert whole_text_frame(data) == core_reads(data) == payload


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_whatever_is_read_the_core_reads_alike(data: bytes) -> None:
    payload = whole_text_frame(data)
    assert payload is None or payload == core_reads(data)


@given(
    st.binary(max_size=200),
    masks,
    st.integers(0, 255),
    st.one_of(st.none(), st.binary(min_size=1, max_size=9)),
    st.integers(-3, 3),
)
def test_frames_that_are_nearly_right(
    payload: bytes, mask: bytes, first: int, length: bytes | None, off: int
) -> None:
    data = masked(payload, mask, first, length)
    data = data[:off] if off < 0 else data + b"\x81" * off
    read = whole_text_frame(data)
    assert read is None or read == core_reads(data)


def test_a_length_of_eight_bytes_is_left_to_the_core() -> None:
    payload = b"x" * 119
    data = masked(payload, b"\1\2\3\4", length=b"\xff" + (119).to_bytes(8, "big"))
    assert len(data) == 2 + 4 + 127, "as long as if the length were 127 itself"
    assert whole_text_frame(data) is None
    assert core_reads(data) == payload
