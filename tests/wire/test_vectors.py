"""The golden vectors drive the codec both ways, and requests through every state of a session."""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec
import pytest

from protocol import InvalidField, MalformedFrame, NotUtf8, UnknownType, decode, encode
from protocol.close import CloseCode
from protocol.errors import ErrorCode
from protocol.pushes import ServerFrame
from protocol.requests import Request
from protocol.session import Door, NotAllowed, Session, State
from tests.wire.golden import Vector, load, shown

VECTORS: Final = load()
_server_decoder: Final = msgspec.json.Decoder(ServerFrame)

ON_PRESENCE_DOOR: Final = {"SUBSCRIBE_PRESENCE", "PING", "DISCONNECT"}
TRAILS: Final = (b"x", b"{}", b"]", b'"', b"\0", b"\xff")


def each(wanted: Callable[[Vector], bool]) -> Iterable[object]:
    return [
        pytest.param(vector, id=f"{stem}: {vector.name}")
        for stem, vectors in VECTORS.items()
        for vector in vectors
        if wanted(vector)
    ]


requests = pytest.mark.parametrize(
    "vector", each(lambda v: v.direction == "request" and v.frame is not None)
)
failures = pytest.mark.parametrize("vector", each(lambda v: v.error is not None))
server_frames = pytest.mark.parametrize("vector", each(lambda v: v.direction == "push"))


@requests
def test_a_request_is_decoded(vector: Vector) -> None:
    assert shown(decode(vector.data)) == vector.frame


@requests
def test_a_request_is_encoded(vector: Vector) -> None:
    request = msgspec.convert(vector.frame, Request)
    assert decode(encode(request)) == request == decode(vector.data)
    if vector.canonical:
        assert encode(request) == vector.data


@failures
def test_what_is_no_request_is_refused(vector: Vector) -> None:
    expected = vector.error
    assert expected is not None
    with pytest.raises(MalformedFrame) as caught:
        decode(vector.data)
    error = caught.value
    assert (error.code, error.ref) == (expected.code, expected.ref)
    assert isinstance(error, NotUtf8) == (expected.close == CloseCode.NOT_UTF8)
    assert isinstance(error, UnknownType) == (expected.code is ErrorCode.UNKNOWN_TYPE)
    assert isinstance(error, InvalidField) == (expected.field is not None)
    if expected.field is not None:
        assert error.message.startswith(f"`{expected.field}`")


@requests
def test_nothing_may_trail_a_request(vector: Vector) -> None:
    for trail in TRAILS:
        with pytest.raises(MalformedFrame) as caught:
            decode(vector.data + trail)
        assert caught.value.code is ErrorCode.MALFORMED_FRAME


@failures
def test_nothing_that_trails_makes_a_request(vector: Vector) -> None:
    for trail in TRAILS:
        with pytest.raises(MalformedFrame):
            decode(vector.data + trail)


@requests
def test_no_beginning_of_a_request_is_one(vector: Vector) -> None:
    whole = vector.data.rstrip()
    for end in range(0, len(whole), 1 + len(whole) // 500):
        with pytest.raises(MalformedFrame) as caught:
            decode(whole[:end])
        assert caught.value.code is ErrorCode.MALFORMED_FRAME


@requests
def test_a_request_in_every_state(vector: Vector) -> None:
    request, kind = decode(vector.data), vector.fields["type"]
    for door in Door:
        for state in State:
            session = session_in(door, state)
            assert session.state is state
            if state is not State.READY:
                refusal: ErrorCode | None = ErrorCode.FORBIDDEN
            elif door is Door.PRESENCE and kind not in ON_PRESENCE_DOOR:
                refusal = ErrorCode.UNKNOWN_TYPE
            else:
                refusal = None
            if refusal is not None:
                with pytest.raises(NotAllowed) as caught:
                    session.request(request)
                assert caught.value.code is refusal
                assert session.state is state
            else:
                session.request(request)
                assert session.state is (State.CLOSING if kind == "DISCONNECT" else State.READY)


@server_frames
def test_a_server_frame_is_encoded(vector: Vector) -> None:
    assert encode(msgspec.convert(vector.frame, ServerFrame)) == vector.data


@server_frames
def test_a_server_frame_is_decoded(vector: Vector) -> None:
    frame = _server_decoder.decode(vector.data)
    assert shown(frame) == vector.frame
    assert encode(frame) == vector.data, "a field that no type knows"


def test_a_file_holds_the_vectors_of_one_type() -> None:
    older = {"create_group_chat": "CREATE_GROUP", "join_group_chat": "JOIN_GROUP"}
    for stem, vectors in VECTORS.items():
        assert len({(vector.direction, vector.name) for vector in vectors}) == len(vectors), stem
        if stem != "malformed":
            types = {vector.fields["type"] for vector in vectors if vector.frame is not None}
            assert types == {older.get(stem, stem.upper())}


def session_in(door: Door, state: State) -> Session:
    session = Session(door)
    if state is not State.OPENING:
        session.opened()
    if state is State.CLOSING:
        session.closing()
    return session
