import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from bench import wire
from bench.markers import NUMBER, content

PING = bytes((wire.PING, 2)) + b"hi"


def from_server(text: str) -> bytes:
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=False)


def message(number: int, sent_us: int = 5, padding: int = 0) -> str:
    return f'{{"content":"{content(number, sent_us, "x" * padding)}"}}'


def numbers(values: list[int]) -> list[int]:
    return [value // NUMBER for value in values]


def server_after_upgrade(request: bytes) -> ServerProtocol:
    """The library's server, upgraded by a request of ours."""
    server = ServerProtocol()
    server.receive_data(request)
    (event,) = server.events_received()
    server.send_response(server.accept(event))  # type: ignore[arg-type]
    server.data_to_send()
    return server


def test_the_upgrade_is_accepted_and_carries_the_headers() -> None:
    request = wire.upgrade("127.0.0.1:4000", "/", {"Authorization": "Bearer t"})
    assert b"\r\nAuthorization: Bearer t\r\n" in request
    assert server_after_upgrade(request).state.name == "OPEN"


@pytest.mark.parametrize("size", [0, 1, 3, 125, 126, 65_535, 65_536])
def test_masked_frames_are_read_by_a_server(size: int) -> None:
    server = server_after_upgrade(wire.upgrade("h", "/", {}))
    text = bytes(97 + i % 26 for i in range(size))
    server.receive_data(wire.masked(text) + wire.pong(b"p"))
    frames = server.events_received()
    assert [bytes(frame.data) for frame in frames] == [text, b"p"]  # type: ignore[union-attr]


@pytest.mark.parametrize("padding", [0, 100, 200, 70_000])
def test_one_frame_gives_its_mark(padding: int) -> None:
    stream = wire.Stream()
    assert stream.feed(from_server(message(7, 12, padding))) == [7 * NUMBER + 12]


def test_a_length_byte_that_looks_like_a_mark_is_none() -> None:
    text = message(1, 5, 126)
    data = from_server(text)
    assert data[1] == ord("~")
    assert numbers(wire.Stream().feed(data)) == [1]


def test_a_frame_may_hold_several_marks_or_none() -> None:
    stream = wire.Stream()
    data = from_server(message(1) + "\n" + message(2)) + from_server('{"type":"SUCCESS"}')
    assert numbers(stream.feed(data)) == [1, 2]
    assert b"SUCCESS" in stream.seen[: stream.end]


@given(st.lists(st.integers(0, 200), max_size=8), st.lists(st.integers(1, 300), max_size=30))
def test_marks_are_found_once_however_the_stream_is_cut(
    paddings: list[int], cuts: list[int]
) -> None:
    data = b"".join(from_server(message(i, 5, size)) + PING for i, size in enumerate(paddings))
    stream = wire.Stream()
    found: list[int] = []
    seen = b""
    for cut in [*cuts, len(data)]:
        part, data = data[:cut], data[cut:]
        found += stream.feed(part)
        seen += stream.seen[: stream.end]
    assert numbers(found) == list(range(len(paddings)))
    assert stream.control == [(wire.PING, b"hi")] * len(paddings)
    assert seen.count(b"content") == len(paddings)


def test_bytes_one_by_one() -> None:
    stream = wire.Stream()
    data = from_server(message(3, 5, 300)) + PING + from_server(message(4))
    found = [value for byte in data for value in stream.feed(bytes((byte,)))]
    assert numbers(found) == [3, 4]
    assert stream.control == [(wire.PING, b"hi")]


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"", "without a code"),
        (b"\x0f\xa8slow consumer", "4008 slow consumer"),
        (b"\x03\xe8", "1000"),
    ],
)
def test_close_reasons_are_for_people(payload: bytes, text: str) -> None:
    assert wire.close_reason(payload) == text
