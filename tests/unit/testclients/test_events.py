"""Which frames are events."""

from typing import get_args

import msgspec
import pytest

from protocol import pushes
from protocol.pushes import Pong, Resync, ServerFrame
from testclients.events import Event, Where, where_of
from tests.unit.testclients.scripted import message

PLACE = {"seq", "prev"}


@pytest.mark.parametrize("kind", get_args(ServerFrame), ids=lambda kind: kind.__name__)
def test_whatever_has_a_place_is_an_event(kind: type[msgspec.Struct]) -> None:
    has_place = {field.name for field in msgspec.structs.fields(kind)} >= PLACE
    assert (kind in get_args(Event)) is (has_place and kind is not pushes.Success)


def test_a_frame_tells_its_conversation() -> None:
    assert where_of(message(1)) == Where(chat_id="alice-bob")
    assert where_of(Resync(group_id="g", after_seq=0)) == Where(group_id="g")
    assert where_of(Pong()) is None
    assert (Where(chat_id="a-b").id, Where(group_id="g").id) == ("a-b", "g")
