"""Bytes are a request or a MalformedFrame, nothing else happens; frames survive the wire."""

import json
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import InvalidField, MalformedFrame, NotUtf8, decode, encode, requests
from protocol.errors import ErrorCode
from protocol.pushes import ServerFrame
from protocol.requests import Request
from tests.wire.strategies import REQUEST_TYPES, any_request, any_server_frame, properties

CODES: Final = {ErrorCode.MALFORMED_FRAME, ErrorCode.UNKNOWN_TYPE, ErrorCode.INVALID_FIELD}
_server_decoder: Final = msgspec.json.Decoder(ServerFrame)

tags: Final = st.sampled_from([str(cls.__struct_config__.tag) for cls in REQUEST_TYPES])
names: Final = st.sampled_from(
    sorted({field.encode_name for cls in REQUEST_TYPES for field in msgspec.structs.fields(cls)})
)
json_values: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=70),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
refs: Final = st.text(max_size=64)


def outcome(data: bytes) -> Request | MalformedFrame:
    """What `decode` makes of `data`; anything but its two promises fails the test."""
    try:
        request = decode(data)
    except MalformedFrame as error:
        assert error.code in CODES
        assert error.message and str(error) == f"{error.code}: {error.message}"
        assert error.ref is None or len(error.ref) <= 64
        return error
    assert isinstance(request, REQUEST_TYPES)
    return request


@properties
@given(any_request)
def test_a_request_survives_the_wire(request: Request) -> None:
    assert decode(encode(request)) == request


@properties
@given(any_request)
def test_a_request_may_come_in_a_bytearray(request: Request) -> None:
    assert decode(bytearray(encode(request))) == request


@properties
@given(any_server_frame)
def test_a_server_frame_survives_the_wire(frame: ServerFrame) -> None:
    assert _server_decoder.decode(encode(frame)) == frame


@properties
@given(
    any_request,
    st.dictionaries(st.text(max_size=8).map("later {}".format), json_values, max_size=3),
)
def test_fields_of_newer_clients_are_ignored(request: Request, later: dict[str, Any]) -> None:
    fields = {**later, **json.loads(encode(request))}
    assert decode(json.dumps(fields).encode()) == request


@properties
@given(st.binary(max_size=200))
def test_arbitrary_bytes(data: bytes) -> None:
    outcome(data)


@properties
@given(st.text(alphabet='{}[]",:\\ \tabtypeu0189+-.eEnulrs\ud7ff\U0001f600', max_size=60))
def test_arbitrary_text(text: str) -> None:
    outcome(text.encode())


@properties
@given(tags, st.dictionaries(names | st.text(max_size=5), json_values, max_size=6))
def test_arbitrary_fields(tag: str, fields: dict[str, Any]) -> None:
    result = outcome(json.dumps({**fields, "type": tag}).encode())
    assert not isinstance(result, MalformedFrame) or result.code is ErrorCode.INVALID_FIELD


@properties
@given(any_request, st.data())
def test_a_damaged_request(request: Request, data: st.DataObject) -> None:
    whole = encode(request)
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 8)))
    outcome(whole[:start] + data.draw(st.binary(max_size=8)) + whole[end:])


@properties
@given(any_request, refs, st.data())
def test_an_error_repeats_the_ref_and_names_the_field(
    request: Request, ref: str, data: st.DataObject
) -> None:
    known = {field.encode_name for field in msgspec.structs.fields(request)} - {"ref"}
    field = data.draw(st.sampled_from(sorted(known)))
    # No field of a request is a fraction, so this is wrong for each of them.
    fields = {**json.loads(encode(request)), "ref": ref, field: 0.5}
    error = outcome(json.dumps(fields).encode())
    assert isinstance(error, InvalidField)
    assert error.ref == ref
    assert error.message.startswith(f"`{field}`")


@properties
@given(
    refs,
    st.text(max_size=20).filter(
        lambda tag: tag not in {c.__struct_config__.tag for c in REQUEST_TYPES}
    ),
)
def test_an_unknown_type_repeats_the_ref(ref: str, tag: str) -> None:
    error = outcome(json.dumps({"ref": ref, "type": tag}).encode())
    assert isinstance(error, MalformedFrame)
    assert error.ref == ref
    if tag not in {"CREATE_GROUP_CHAT", "JOIN_GROUP_CHAT"}:
        assert error.code is ErrorCode.UNKNOWN_TYPE


@properties
@given(st.text(min_size=65, max_size=80))
def test_a_ref_that_is_too_long_is_not_repeated(ref: str) -> None:
    error = outcome(json.dumps({"ref": ref, "type": "PING"}).encode())
    assert isinstance(error, InvalidField)
    assert error.ref is None


@properties
@given(any_request, st.binary(min_size=1, max_size=4), st.data())
def test_what_is_not_utf8_is_told_apart(
    request: Request, wrong: bytes, data: st.DataObject
) -> None:
    whole = encode(request)
    at = data.draw(st.integers(0, len(whole)))
    message = whole[:at] + wrong + whole[at:]
    try:
        message.decode()
    except UnicodeDecodeError:
        with pytest.raises(NotUtf8):
            decode(message)
    else:
        assert not isinstance(outcome(message), NotUtf8)


# Grammar: each text stands as the value of a field that no request has, and is still looked at.
JSON_TEXTS: Final = (
    "0", "-0", "1", "-1", "0.0", "10.01", "1e1", "1E1", "1e+1", "1e-1", "1.5E+2", "9" * 400,
    "0." + "3" * 400, "1e999", "-1e-999", "true", "false", "null", '""', '"a"', '" "', '"\u00e9"',
    '"\u2028\u2029"', '"\U0001f600"', '"\\""', '"\\\\"', '"\\/"', '"\\b\\f\\n\\r\\t"', '"\\u0041"',
    '"\\u00e9"', '"\\u00E9"', '"\\u0000"', '"\\ud83d\\ude00"', '"\\uDBFF\\uDFFF"', '"\\uffff"',
    '"\\\\u0041"', '"\x7f"', '"//"', '"{"', "[]", "[ ]", "[[]]", "[1]", "[1,2]", "[1 , 2]",
    "[null,true]", "[\n1\r\n]", "\t1\t", "{}", "{ }", '{"":0}', '{"a":{}}', '{"a":1,"b":2}',
    '{"a":1,"a":2}', '{"a" : [ 1 , {"b" : "c"} ] }', '{"\\u0061":1}', '{"\x7f":1}',
    "[" * 50 + "]" * 50, '{"a":' * 50 + "1" + "}" * 50, '"' + "a" * 5000 + '"',
)  # fmt: skip
NO_JSON_TEXTS: Final = (
    "", "00", "01", "-01", "-", "+1", "--1", ".5", "-.5", "5.", "5.e1", "1e", "1e+", "1e1.5",
    "1e1e1", "0x1", "1_000", "1 2", "1a", "NaN", "nan", "Infinity", "-Infinity", "inf", "True",
    "TRUE", "nul", "nulls", "truefalse", "undefined", "None", "a", "'a'", "`a`", '"', '"a', 'a"',
    '"a" "b"', '""""', '"\\', '"\\"', '"\\a"', '"\\0"', '"\\x41"', '"\\U0041"', '"\\u"', '"\\u1"',
    '"\\u004"', '"\\u004g"', '"\\u{41}"', '"\\u 041"', '"\\ud800"', '"\\ud800a"', '"\\ud800\\n"',
    '"\\ud800\\u0041"', '"\\ud800\\ud800"', '"\\udc00"', '"\\udfff\\ud800"', '"\n"', '"\r"', '"\t"',
    '"\x00"', '"\x1f"', "[", "]", "[1", "[1,", "[1,]", "[,]", "[,1]", "[1,,2]", "[1;2]", "[1:2]",
    "[1}", "[}", "[[]", "[]]", "(1)", "{", "{1", "{]", "{,}", '{"a"}', '{"a":}', '{"a":1',
    '{"a":1,}', '{"a":1,,"b":2}', '{,"a":1}', '{"a",1}', '{"a":1 "b":2}', '{"a"::1}', '{"a"=1}',
    '{"a":1]', "{1:2}", "{a:1}", "{'a':1}", "{null:1}", '{"a":1:2}', "{{}}", '{"a\n":1}',
    '{"\\ud800":1}', "1//", "1/**/", "#1", "\ufeff1", "\u00a01", "\u20281", "\x0b1", "\x0c1",
    "\x001", "*", ",", ":", "<!---->", "\u2260", "\U0001f600",
)  # fmt: skip


@pytest.mark.parametrize("text", JSON_TEXTS, ids=lambda text: ascii(text)[:40])
def test_json_in_an_ignored_field(text: str) -> None:
    json.loads(text)
    assert decode(b'{"type":"PING","later":%b,"ref":"r"}' % text.encode()).ref == "r"


@pytest.mark.parametrize("text", NO_JSON_TEXTS, ids=lambda text: ascii(text)[:40])
def test_what_is_no_json_in_an_ignored_field(text: str) -> None:
    for tail in (b"}", b',"ref":"r"}'):
        with pytest.raises(MalformedFrame) as caught:
            decode(b'{"type":"PING","later":' + text.encode() + tail)
        assert caught.value.code is ErrorCode.MALFORMED_FRAME
        assert caught.value.ref is None


@pytest.mark.parametrize("fields", ["", ',"chatId":"alice-bob","groupId":"g1"'])
def test_which_conversation_is_meant_is_for_the_service_to_check(fields: str) -> None:
    request = decode(b'{"type":"ACK","seq":5%b}' % fields.encode())
    assert isinstance(request, requests.Ack)
    assert (request.chat_id is None) == (request.group_id is None)


def test_only_an_older_spelling_is_replaced() -> None:
    ping = requests.Ping(ref="r")
    assert requests.current(ping) is ping
    older = requests.JoinGroupChat(ref="r", group_id="g1", invite="i1")
    assert requests.current(older) == requests.JoinGroup(ref="r", group_id="g1", invite="i1")


def test_a_broken_older_spelling_names_its_own_fields() -> None:
    with pytest.raises(InvalidField) as caught:
        decode(b'{"type":"CREATE_GROUP_CHAT","ref":"r","name":"demo"}')
    assert (caught.value.message, caught.value.ref) == ("`groupName` is required", "r")
