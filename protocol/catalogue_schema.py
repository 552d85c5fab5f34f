"""JSON Schema of every frame, for specifications and for clients in other languages."""

from collections.abc import Mapping
from typing import Any, Final, get_args

import msgspec

import protocol
from protocol import pushes, requests
from protocol.catalogue_types import portable

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """One JSON Schema 2020-12 document that holds for any frame.

    Its `$defs` are `Request` (older spellings too), `ServerFrame`, each frame as `request.TYPE` or
    `server.TYPE`, and the objects and enumerations inside frames under their own names.
    """
    from_client, from_server = get_args(requests.Spelling), get_args(pushes.ServerFrame)
    names = [f"request.{_tag(cls)}" for cls in from_client] + [
        f"server.{_tag(cls)}" for cls in from_server
    ]
    references, components = msgspec.json.schema_components(
        (*from_client, *from_server), ref_template="{name}"
    )
    renamed = {reference["$ref"]: name for reference, name in zip(references, names, strict=True)}
    definitions = {
        renamed.get(name, name): _tidy(schema, renamed) for name, schema in components.items()
    }
    _either_spelling(definitions[f"request.{_tag(requests.GroupChat)}"])
    return {
        "$schema": DIALECT,
        "title": f"Frames of chatd, protocol version {protocol.PROTOCOL_VERSION}",
        "anyOf": [_reference("Request"), _reference("ServerFrame")],
        "$defs": {
            "Request": {
                "anyOf": [_reference(name) for name in names if name.startswith("request.")]
            },
            "ServerFrame": {
                "anyOf": [_reference(name) for name in names if name.startswith("server.")]
            },
            **definitions,
        },
    }


def _tag(cls: type[msgspec.Struct]) -> str:
    return str(cls.__struct_config__.tag)


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}


def _tidy(node: Any, renamed: Mapping[str, str]) -> Any:
    """The same schema with our names, and patterns that mean in ECMA 262 what they do in Python."""
    match node:
        case {"$ref": str(name), **rest}:
            return {**_reference(renamed.get(name, name)), **_tidy(rest, renamed)}
        case {"pattern": str(pattern), **rest}:
            return {"pattern": portable(pattern), **_tidy(rest, renamed)}
        case dict():
            return {key: _tidy(value, renamed) for key, value in node.items()}
        case list():
            return [_tidy(value, renamed) for value in node]
    return node


def _either_spelling(group_chat: dict[str, Any]) -> None:
    """The type gives `groupId` an empty default, for `to` in its place: say that instead."""
    del group_chat["properties"]["groupId"]["default"]
    old = {"required": ["to"], "properties": {"to": {"type": "string"}}}
    group_chat["anyOf"] = [{"required": ["groupId"]}, old]
