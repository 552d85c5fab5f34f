"""Prints docs/protocol.md from the types of this package; gives the JSON Schema of every frame.

A frame, field, code or limit that is added shows up here by itself; only its words are in
`catalogue_prose` and `catalogue_fields`, and a test fails where they are missing.
"""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence, Set
from enum import Enum
from typing import Final, NamedTuple, get_args

import msgspec

import protocol
from protocol import limits, pushes, requests
from protocol.catalogue_examples import EXCHANGES, PUSHES
from protocol.catalogue_fields import LIMITS, REQUEST_FIELDS, SERVER_FIELDS, SPECIAL_FIELDS
from protocol.catalogue_introduction import INTRODUCTION
from protocol.catalogue_prose import (
    COMMON_ERRORS,
    ON_PRESENCE_DOOR,
    REQUESTS,
    SERVER_FRAMES,
    VALUE_TYPES,
)
from protocol.catalogue_schema import json_schema
from protocol.catalogue_types import (
    NOTHING,
    default_of,
    enumerations,
    fields_of,
    json_type,
    limit_of,
    present_type,
)
from protocol.close import CLOSES
from protocol.codec import encode
from protocol.errors import ERRORS, ErrorCode
from protocol.session import ALLOWED, Door, NotAllowed, Session, State

__all__ = ["entries", "json_schema", "page"]

REQUEST_TYPES: Final[tuple[type[msgspec.Struct], ...]] = get_args(requests.Request)
OLDER_SPELLINGS: Final = tuple(t for t in get_args(requests.Spelling) if t not in REQUEST_TYPES)
REPLY_TYPES: Final[tuple[type[msgspec.Struct], ...]] = get_args(pushes.Reply)
PUSH_TYPES: Final[tuple[type[msgspec.Struct], ...]] = get_args(pushes.Push)
SERVER_TYPES: Final = REPLY_TYPES + PUSH_TYPES

TO_SERVER: Final = frozenset({"request", "older spelling"})

_MOST_ITEMS: Final = {
    "members": limits.CREATE_GROUP_MEMBERS,
    "positions": limits.RESUME_POSITIONS,
    "users": limits.PRESENCE_USERS,
}
_CONTENT: Final = f"1-{limits.CONTENT_BYTES:,} bytes of UTF-8"
"""Limits of requests that the types do not hold: beyond them the services answer TOO_LARGE."""


class Entry(NamedTuple):
    """A frame as the page shows it: `type`, and which of the headings under that name it has."""

    cls: type[msgspec.Struct]
    kind: str

    @property
    def tag(self) -> str:
        return str(self.cls.__struct_config__.tag)

    @property
    def title(self) -> str:
        return f"{self.tag} ({self.kind})"

    @property
    def anchor(self) -> str:
        return re.sub(r"[^a-z0-9_ -]", "", self.title.lower()).replace(" ", "-")


def entries() -> list[Entry]:
    """Every frame of the protocol, in the order of the page."""
    kinds = (
        ("request", REQUEST_TYPES),
        ("older spelling", OLDER_SPELLINGS),
        ("reply", REPLY_TYPES),
        ("push", PUSH_TYPES),
    )
    return [Entry(cls, kind) for kind, types in kinds for cls in types]


def page() -> str:
    """The whole of docs/protocol.md."""
    sections = [INTRODUCTION.format(version=protocol.PROTOCOL_VERSION), _overview()]
    sections += ["## Requests\n", _common_errors(), *_sections(TO_SERVER)]
    sections += ["## Replies\n", *_sections({"reply"}), "## Pushes\n", *_sections({"push"})]
    enums = [
        cls
        for cls in enumerations(REQUEST_TYPES + SERVER_TYPES + VALUE_TYPES)
        if cls is not ErrorCode
    ]
    sections += [
        "## Objects inside frames\n",
        *map(_value_type, VALUE_TYPES),
        *map(_enumeration, enums),
    ]
    sections += [_error_codes(), _close_codes(), _limits(), _sessions()]
    return "\n".join(sections)


def _overview() -> str:
    rows = []
    for entry in entries():
        direction = "to the server" if entry.kind in TO_SERVER else "to the client"
        rows.append((f"[{entry.tag}](#{entry.anchor})", direction, entry.kind, _doors(entry.cls)))
    return "## All frames\n\n" + _table(("frame", "direction", "kind", "doors"), rows)


def _doors(cls: type) -> str:
    if cls in OLDER_SPELLINGS:
        return "chat"
    if cls in REQUEST_TYPES:
        return ", ".join(door.name.lower() for door in Door if cls in ALLOWED[door][State.READY])
    return "chat, presence" if cls in ON_PRESENCE_DOOR else "chat"


def _common_errors() -> str:
    return "Any request may be answered by ERROR with one of these codes:\n\n" + _codes(
        COMMON_ERRORS
    )


def _codes(codes: Mapping[ErrorCode, str]) -> str:
    return _table(("code", "when"), [(f"`{code}`", when) for code, when in codes.items()])


def _sections(kinds: Set[str]) -> list[str]:
    return [_section(entry) for entry in entries() if entry.kind in kinds]


def _section(entry: Entry) -> str:
    parts = [f"### {entry.title}\n"]
    words = [" ".join((entry.cls.__doc__ or "").split()), SERVER_FRAMES.get(entry.cls, "")]
    prose = REQUESTS.get(entry.cls)
    if prose is not None:
        words.append(prose.when)
    parts.append(" ".join(word for word in words if word) + "\n")
    parts.append(_fields(entry.cls, to_server=entry.kind in TO_SERVER))
    if prose is not None:
        parts.append(f"Reply: {prose.reply}\n")
        if prose.others:
            parts.append(f"Others get: {prose.others}.\n")
        if prose.errors:
            parts.append("Errors besides those of any request:\n")
            parts.append(_codes(prose.errors))
    parts.append(_example(entry.cls))
    return "\n".join(part for part in parts if part)


def _example(cls: type) -> str:
    lines = []
    for request, reply in EXCHANGES:
        if type(request) is cls:
            lines = ["C: " + encode(request).decode()]
            if reply is not None:
                lines.append("S: " + encode(reply).decode())
        elif type(reply) is cls and reply is not None and not lines:
            lines = ["S: " + encode(reply).decode()]
    lines += ["S: " + encode(push).decode() for push in PUSHES if type(push) is cls]
    return "```text\n" + "\n".join(lines) + "\n```\n" if lines else ""


def _fields(cls: type[msgspec.Struct], *, to_server: bool) -> str:
    meanings = REQUEST_FIELDS if to_server else SERVER_FIELDS
    rows = []
    for field in fields_of(cls):
        name, kind = field.encode_name, present_type(field)
        if to_server and name == "content":
            limit = _CONTENT
        else:
            limit = limit_of(kind, _MOST_ITEMS.get(name) if to_server else None)
        meaning = SPECIAL_FIELDS.get((cls, name)) or meanings[name]
        rows.append(
            (f"`{name}`", json_type(kind), _yes(field.required), limit, default_of(field), meaning)
        )
    return _table(("field", "type", "required", "limit", "default", "meaning"), rows)


def _value_type(cls: type[msgspec.Struct]) -> str:
    doc = f"{' '.join(cls.__doc__.split())}\n\n" if cls.__doc__ else ""
    return f"### {cls.__name__}\n\n{doc}{_fields(cls, to_server=False)}"


def _enumeration(cls: type[Enum]) -> str:
    values = ", ".join(f"`{member.value}`" for member in cls)
    doc = "" if not cls.__doc__ else f"{cls.__doc__} "
    return f"### {cls.__name__}\n\n{doc}One of {values}.\n"


def _error_codes() -> str:
    rows = []
    for code, info in ERRORS.items():
        issuers = [
            Entry(cls, "request").tag for cls, prose in REQUESTS.items() if code in prose.errors
        ]
        issued = "any request" if code in COMMON_ERRORS else ", ".join(issuers) or "REST only"
        rows.append((f"`{code}`", str(info.http_status), _yes(info.temporary), info.when, issued))
    head = (
        "## Error codes\n\nThe HTTP status is that of the same failure in the REST interface.\n\n"
    )
    return head + _table(("code", "HTTP", "temporary", "when", "answers"), rows)


def _close_codes() -> str:
    rows = [(str(int(code)), i.reason, _yes(i.may_reconnect), i.when) for code, i in CLOSES.items()]
    head = (
        "## Close codes\n\nAfter 4000-4499 reconnecting may help, after 4500-4999 it does not.\n\n"
    )
    return head + _table(("code", "reason", "reconnect", "when"), rows)


def _limits() -> str:
    in_info = {field.name.upper(): field.encode_name for field in fields_of(limits.Limits)}
    rows = []
    for name, prose in LIMITS.items():
        told = f"`{in_info[name]}`" if name in in_info else NOTHING
        rows.append((prose.of, f"{getattr(limits, name):,}", told, prose.beyond))
    return "## Limits\n\n" + _table(("what", "limit", "`limits` of INFO", "beyond it"), rows)


def _sessions() -> str:
    """What becomes of each request in each state, found by asking `Session`."""
    columns = [(door, state) for door in Door for state in State]
    rows = []
    for exchange in EXCHANGES:
        cells = [_verdict(door, state, exchange.request) for door, state in columns]
        rows.append((Entry(type(exchange.request), "request").tag, *cells))
    head = (
        "## Sessions\n\nA connection is OPENING until INFO was sent, then READY, and CLOSING from "
        "the first reason to close.\nA request is carried out where the table says yes, else "
        "answered with a code.\n\n"
    )
    return head + _table(
        ("request", *(f"{door.name.lower()} {state.name}" for door, state in columns)), rows
    )


def _verdict(door: Door, state: State, request: requests.Request) -> str:
    session = Session(door)
    if state is not State.OPENING:
        session.opened()
    if state is State.CLOSING:
        session.closing()
    try:
        session.request(request)
    except NotAllowed as refusal:
        return str(refusal.code)
    return "yes"


def _yes(claim: bool) -> str:
    return "yes" if claim else "no"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


if __name__ == "__main__":
    sys.stdout.write(page())
