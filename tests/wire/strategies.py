"""Hypothesis strategies made from the frame types, and the settings of the property tests."""

from typing import Any, Final, get_args

from hypothesis import settings
from hypothesis import strategies as st
from msgspec import inspect

from protocol import pushes, requests
from protocol.requests import Request

properties: Final = settings(max_examples=100, derandomize=True, database=None, deadline=None)
"""Every run tries the same examples, whatever machine it runs on and however slow that is."""

REQUEST_TYPES: Final[tuple[type[Request], ...]] = get_args(requests.Request)
SERVER_TYPES: Final[tuple[type[pushes.ServerFrame], ...]] = get_args(pushes.ServerFrame)


def values(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """Whatever a field of this type may hold."""
    match kind:
        case inspect.Metadata(type=inner):
            return values(inner)
        case inspect.NoneType():
            return st.none()
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType(ge=low, le=high):
            return st.integers(low, 2**53 - 1 if high is None else high)
        case inspect.StrType(pattern=str(pattern)):
            return st.from_regex(pattern)
        case inspect.StrType(min_length=low, max_length=high):
            return st.text(min_size=low or 0, max_size=high)
        case inspect.EnumType(cls=cls):
            return st.sampled_from(cls)
        case inspect.ListType(item_type=item, max_length=high):
            return st.lists(values(item), max_size=min(high or 4, 4))
        case inspect.DictType(key_type=key, value_type=item, max_length=high):
            return st.dictionaries(values(key), values(item), max_size=min(high or 4, 4))
        case inspect.UnionType(types=kinds):
            return st.one_of([values(part) for part in kinds])
        case inspect.StructType(cls=cls):
            return structs(cls)
    raise TypeError(f"no strategy for {kind}")


def structs(cls: type[Any]) -> st.SearchStrategy[Any]:
    """Any frame (or object inside one) of this type; fields with a default may be left to it."""
    info = inspect.type_info(cls)
    assert isinstance(info, inspect.StructType)
    # GROUP_CHAT may have no groupId only if it has `to`: "" is no value of its type.
    needed = {field.name for field in info.fields if field.required or field.default == ""}
    return st.fixed_dictionaries(
        {field.name: values(field.type) for field in info.fields if field.name in needed},
        optional={
            field.name: values(field.type) for field in info.fields if field.name not in needed
        },
    ).map(lambda fields: cls(**fields))


any_request: Final = st.one_of([structs(cls) for cls in REQUEST_TYPES])
any_server_frame: Final = st.one_of([structs(cls) for cls in SERVER_TYPES])
