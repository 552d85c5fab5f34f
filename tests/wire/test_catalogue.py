"""docs/protocol.md and the JSON Schema leave nothing out, and the vectors cover every frame."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
import pytest

from protocol import catalogue_fields as fields
from protocol import catalogue_prose as prose
from protocol import decode, encode, limits, model, pushes, requests
from protocol.catalogue import Entry, entries, json_schema, page
from protocol.catalogue_examples import EXCHANGES, PUSHES
from protocol.catalogue_types import json_type
from protocol.close import CLOSES, CloseCode, may_reconnect
from protocol.errors import ERRORS, ErrorCode
from tests.wire.golden import load

ROOT: Final = Path(__file__).parents[2]
DOC: Final = ROOT / "docs" / "protocol.md"
SPELLINGS: Final[tuple[type[msgspec.Struct], ...]] = get_args(requests.Spelling)
REQUESTS: Final[tuple[type[msgspec.Struct], ...]] = get_args(requests.Request)
SERVER_FRAMES: Final[tuple[type[msgspec.Struct], ...]] = get_args(pushes.ServerFrame)
SCHEMA: Final = json_schema()

frames: Final = pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.title)


def test_the_page_is_what_the_catalogue_prints() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "protocol.catalogue"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    assert printed.decode() == page() == DOC.read_text(encoding="utf-8")


def test_all_frames_are_in_the_catalogue() -> None:
    assert [entry.cls for entry in entries()] == [*SPELLINGS, *SERVER_FRAMES]


@frames
def test_a_frame_has_a_section_with_its_fields(entry: Entry) -> None:
    assert page().count(f"\n### {entry.title}\n") == 1
    assert page().count(f"[{entry.tag}](#{entry.anchor})") == 1
    section = page().split(f"\n### {entry.title}\n")[1].split("\n### ")[0]
    for field in msgspec.structs.fields(entry.cls):
        assert f"\n| `{field.encode_name}` |" in section
    if entry.kind != "older spelling":
        assert f'"type":"{entry.tag}"' in section, "no example"


@frames
def test_a_frame_has_vectors(entry: Entry) -> None:
    vectors = load()[entry.tag.lower()]
    direction = "request" if entry.cls in SPELLINGS else "push"
    ours = [vector for vector in vectors if vector.direction == direction]
    seen: set[str] = set()
    for vector in ours:
        if vector.frame is not None:
            seen |= msgspec.json.decode(vector.data, type=dict[str, Any]).keys()
    names = {field.encode_name for field in msgspec.structs.fields(entry.cls)}
    assert names <= seen
    if direction == "request":
        named = {
            vector.error.field.split("[")[0]
            for vector in ours
            if vector.error and vector.error.field
        }
        assert names == named, "a field that no vector gets wrong"
        assert sum(vector.canonical for vector in ours) > 0 or entry.cls not in REQUESTS


def test_an_example_is_a_vector() -> None:
    known = {vector.text for vectors in load().values() for vector in vectors}
    for request, reply in EXCHANGES:
        assert decode(encode(request)) == request
        assert encode(request).decode() in known
        assert reply is None or encode(reply).decode() in known
        assert reply is None or reply.ref == request.ref
    for push in PUSHES:
        assert encode(push).decode() in known


def test_there_is_one_example_of_each_frame() -> None:
    assert [type(exchange.request) for exchange in EXCHANGES] == [*REQUESTS]
    assert {type(exchange.reply) for exchange in EXCHANGES} == {*get_args(pushes.Reply), type(None)}
    assert [type(push) for push in PUSHES] == [*get_args(pushes.Push)]


def test_the_words_are_complete_and_none_is_left_over() -> None:
    assert prose.REQUESTS.keys() == set(REQUESTS)
    assert prose.SERVER_FRAMES.keys() == set(SERVER_FRAMES)
    assert prose.ON_PRESENCE_DOOR <= set(SERVER_FRAMES)
    assert fields.REQUEST_FIELDS.keys() == wire_names(SPELLINGS)
    assert fields.SERVER_FIELDS.keys() == wire_names(SERVER_FRAMES + prose.VALUE_TYPES)
    for cls, name in fields.SPECIAL_FIELDS:
        assert name in wire_names((cls,))
    constants = {
        name for name, value in vars(limits).items() if name.isupper() and isinstance(value, int)
    }
    assert fields.LIMITS.keys() == constants


def test_all_objects_inside_frames_are_shown() -> None:
    values = {
        cls
        for cls in vars(model).values()
        if isinstance(cls, type) and issubclass(cls, model.Value)
    }
    assert set(prose.VALUE_TYPES) == values - {model.Value}


@pytest.mark.parametrize("code", ErrorCode)
def test_an_error_code_has_its_row(code: ErrorCode) -> None:
    info = ERRORS[code]
    temporary = "yes" if info.temporary else "no"
    row = f"\n| `{code}` | {info.http_status} | {temporary} | {info.when} |"
    assert page().count(row) == 1
    assert code.name == code.value
    assert 400 <= info.http_status < 600


def test_the_table_of_error_codes_is_total() -> None:
    assert [*ERRORS] == [*ErrorCode]


@pytest.mark.parametrize("code", CloseCode)
def test_a_close_code_has_its_row(code: CloseCode) -> None:
    info = CLOSES[code]
    reconnect = "yes" if info.may_reconnect else "no"
    assert page().count(f"\n| {int(code)} | {info.reason} | {reconnect} | {info.when} |\n") == 1
    assert len(info.reason.encode()) <= 123, "RFC 6455 section 5.5: a close frame holds no more"
    assert may_reconnect(code) is info.may_reconnect


def test_the_ranges_of_close_codes() -> None:
    assert [*CLOSES] == [*CloseCode]
    for code in CloseCode:
        if code >= 4000:
            assert CLOSES[code].may_reconnect is (code < 4500)
    assert [may_reconnect(code) for code in (1005, 1006, 3000, 4000, 4499)] == [True] * 5
    assert [may_reconnect(code) for code in (4500, 4999)] == [False] * 2


def test_info_tells_the_limits_as_they_are() -> None:
    told = msgspec.to_builtins(limits.Limits())
    for field in msgspec.structs.fields(limits.Limits):
        assert told[field.encode_name] == getattr(limits, field.name.upper())


def test_the_schema_has_every_frame_once() -> None:
    definitions = SCHEMA["$defs"]
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for union, prefix, types in (
        ("Request", "request", SPELLINGS),
        ("ServerFrame", "server", SERVER_FRAMES),
    ):
        named = [f"{prefix}.{cls.__struct_config__.tag}" for cls in types]
        assert definitions[union] == {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in named]}
        for name, cls in zip(named, types, strict=True):
            assert definitions[name]["properties"].keys() == wire_names((cls,)) | {"type"}
            assert definitions[name]["properties"]["type"] == {"enum": [cls.__struct_config__.tag]}
            assert "type" in definitions[name]["required"]
            assert definitions[name].get("additionalProperties", True) is True


def test_the_schema_refers_to_what_it_holds() -> None:
    references = [node["$ref"] for node in nodes(SCHEMA) if isinstance(node.get("$ref"), str)]
    held = {f"#/$defs/{name}" for name in SCHEMA["$defs"]}
    assert {*references, "#/$defs/Request", "#/$defs/ServerFrame"} == held


def test_patterns_are_written_for_other_languages() -> None:
    patterns = {node["pattern"] for node in nodes(SCHEMA) if isinstance(node.get("pattern"), str)}
    assert patterns == {"^[a-z0-9][a-z0-9_.]{2,31}$", r"^[a-z0-9_.\-]{1,65}$"}
    for pattern in patterns:
        assert re.fullmatch(pattern, "bob.7")
    assert "\\Z" not in page()


def test_an_object_is_shown_with_what_it_holds() -> None:
    most = f"at most {limits.RESUME_POSITIONS:,} items, each 0-{2**53 - 1:,}"
    assert f"\n| `positions` | object of integer | yes | {most} | - |" in page()
    assert "\n| `errors` | object of ErrorCode | no | - | - |" in page()
    assert "\n| `reactions` | object of array of string | no | - | - |" in page()


def test_a_group_message_needs_either_spelling() -> None:
    schema = SCHEMA["$defs"]["request.GROUP_CHAT"]
    assert [either["required"] for either in schema["anyOf"]] == [["groupId"], ["to"]]
    assert "default" not in schema["properties"]["groupId"]


def test_a_type_without_a_word_is_refused() -> None:
    with pytest.raises(TypeError, match="no word for FloatType"):
        json_type(msgspec.inspect.FloatType())


def test_making_the_schema_leaves_nothing_behind() -> None:
    assert json_schema() == SCHEMA
    json_schema()["$defs"].clear()
    assert json_schema() == SCHEMA


def wire_names(types: tuple[type[msgspec.Struct], ...]) -> set[str]:
    return {field.encode_name for cls in types for field in msgspec.structs.fields(cls)}


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Every object of a JSON document."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            yield from nodes(inner)
