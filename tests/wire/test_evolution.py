"""Frames of every release are understood for ever, and mean what they meant.

A file under `released/` is never changed. `tests.wire.golden` says how a release is added.
"""

import json
from typing import Any, Final

import msgspec
import pytest

from protocol import decode, encode
from protocol.pushes import ServerFrame
from tests.wire.golden import RELEASED, Vector, read, shown

_server_decoder: Final = msgspec.json.Decoder(ServerFrame)


def released(direction: str) -> list[object]:
    return [
        pytest.param(vector, id=f"{path.parent.name} {vector.fields['type']}: {vector.name}")
        for path in sorted(RELEASED.glob("*/frames.json"))
        for vector in read(path)
        if vector.direction == direction
    ]


def includes(now: Any, then: Any) -> bool:
    """Whether `now` says all that `then` said; new fields may have been added."""
    if isinstance(then, dict):
        return isinstance(now, dict) and all(
            key in now and includes(now[key], then[key]) for key in then
        )
    if isinstance(then, list):
        return isinstance(now, list) and len(now) == len(then) and all(map(includes, now, then))
    return type(now) is type(then) and bool(now == then)


@pytest.mark.parametrize("vector", released("request"))
def test_a_request_of_an_older_client(vector: Vector) -> None:
    assert includes(shown(decode(vector.data)), vector.frame)


@pytest.mark.parametrize("vector", released("push"))
def test_a_server_frame_for_an_older_client(vector: Vector) -> None:
    frame = _server_decoder.decode(vector.data)
    assert includes(shown(frame), vector.frame)
    assert includes(json.loads(encode(frame)), json.loads(vector.data))


def test_the_first_release_is_kept() -> None:
    directions = {vector.direction for vector in read(RELEASED / "0.1.0" / "frames.json")}
    assert directions == {"request", "push"}


def test_what_counts_as_including() -> None:
    assert includes({"a": 1, "b": [{"c": 2, "d": 3}]}, {"b": [{"c": 2}]})
    others: tuple[dict[str, Any], ...] = (
        {"z": 1},
        {"a": 2},
        {"a": True},
        {"b": []},
        {"b": [{"c": "2"}]},
        {"b": {"c": 2}},
    )
    for then in others:
        assert not includes({"a": 1, "b": [{"c": 2, "d": 3}]}, then)
