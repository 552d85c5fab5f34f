"""How docs/protocol.md writes a type: as JSON has it, with its limit and its default."""

from collections.abc import Iterable
from enum import Enum
from typing import Final

import msgspec
from msgspec import inspect

NOTHING: Final = "-"
"""What stands in a cell of a table that has nothing to say."""


def fields_of(cls: type[msgspec.Struct]) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(cls)
    assert isinstance(info, inspect.StructType)
    return info.fields


def present_type(field: inspect.Field) -> inspect.Type:
    """The type that a field has when it is there: what may be left out is not sent as null."""
    kind = field.type
    if field.required or field.default is not None or not isinstance(kind, inspect.UnionType):
        return kind
    rest = tuple(part for part in kind.types if not isinstance(part, inspect.NoneType))
    return rest[0] if len(rest) == 1 else inspect.UnionType(rest)


def json_type(kind: inspect.Type) -> str:
    match _bare(kind):
        case inspect.StrType():
            return "string"
        case inspect.IntType():
            return "integer"
        case inspect.BoolType():
            return "boolean"
        case inspect.NoneType():
            return "null"
        case inspect.ListType(item_type=item):
            return f"array of {json_type(item)}"
        case inspect.DictType(value_type=item):
            return f"object of {json_type(item)}"
        case inspect.UnionType(types=parts):
            return " or ".join(map(json_type, parts))
        case inspect.EnumType(cls=cls) | inspect.StructType(cls=cls):
            return str(cls.__name__)
        case other:
            raise TypeError(f"no word for {other}")


def limit_of(kind: inspect.Type, items: int | None = None) -> str:
    """The limits of a value; `items` bounds a list or an object whose type does not."""
    match _bare(kind):
        case inspect.StrType(pattern=str(pattern)):
            return f"`{portable(pattern)}`"
        case inspect.StrType(min_length=low, max_length=int(high)):
            return f"{low or 0}-{high:,} characters"
        case inspect.IntType(ge=int(low), le=int(high)):
            return f"{low}-{high:,}"
        case (
            inspect.ListType(item_type=item, max_length=high)
            | inspect.DictType(value_type=item, max_length=high)
        ):
            most, each = high or items, limit_of(item)
            limits = [f"at most {most:,} items"] if most else []
            if each != NOTHING:
                limits.append(f"each {each}")
            return ", ".join(limits) or NOTHING
    return NOTHING


def default_of(field: inspect.Field) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    elif field.default in (msgspec.NODEFAULT, None, ""):
        return NOTHING
    else:
        value = field.default
    return f"`{msgspec.json.encode(value).decode()}`"


def enumerations(types: Iterable[type[msgspec.Struct]]) -> list[type[Enum]]:
    """The enumerations that fields of these types have, in the order of their first use."""
    found: dict[type[Enum], None] = {}
    for cls in types:
        for field in fields_of(cls):
            kind = _bare(present_type(field))
            if isinstance(kind, inspect.EnumType):
                found[kind.cls] = None
    return list(found)


def portable(pattern: str) -> str:
    r"""A Python pattern as ECMA 262 writes it, which has no \Z and whose $ is what \Z is here."""
    return pattern.replace(r"\Z", "$")


def _bare(kind: inspect.Type) -> inspect.Type:
    return kind.type if isinstance(kind, inspect.Metadata) else kind
