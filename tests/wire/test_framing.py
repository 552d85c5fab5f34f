"""The bytes of a server's message, as written by hand and as another implementation reads them."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from protocol.framing import PING, text_message
from tests.wire.strategies import properties

HEADERS: Final = {
    0: "8100",
    1: "8101",
    125: "817d",
    126: "817e007e",
    127: "817e007f",
    65_535: "817effff",
    65_536: "817f0000000000010000",
    131_072: "817f0000000000020000",
}


def received(data: bytes) -> list[object]:
    """The frames that a client of the websockets library sees."""
    client = ClientProtocol(parse_uri("ws://localhost/"), state=OPEN)
    client.receive_data(data)
    assert client.parser_exc is None
    return list(client.events_received())


@pytest.mark.parametrize("size", HEADERS)
def test_the_header_of_each_form_of_length(size: int) -> None:
    payload = b"x" * size
    assert text_message(payload) == bytes.fromhex(HEADERS[size]) + payload


@pytest.mark.parametrize("size", HEADERS)
def test_a_client_reads_the_message(size: int) -> None:
    payload = b"x" * size
    assert received(text_message(payload)) == [Frame(Opcode.TEXT, payload)]


@properties
@given(st.lists(st.text(max_size=200).map(str.encode), max_size=5))
def test_messages_follow_one_another(payloads: list[bytes]) -> None:
    stream = b"".join(map(text_message, payloads))
    assert received(stream) == [Frame(Opcode.TEXT, payload) for payload in payloads]


def test_a_client_reads_the_ping() -> None:
    assert received(PING) == [Frame(Opcode.PING, b"")]
