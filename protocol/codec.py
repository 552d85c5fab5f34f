"""Bytes to frames and back.

`decode` gives a `Request` or raises a `MalformedFrame`, whatever the bytes are; nothing else
escapes. `encode` gives the JSON text of a frame as UTF-8 bytes.
"""

import re
from typing import Final

import msgspec

from protocol import limits, model
from protocol.errors import ErrorCode
from protocol.pushes import ServerFrame
from protocol.requests import CreateGroupChat, JoinGroupChat, Request, Spelling, current


class MalformedFrame(Exception):
    """The bytes are no request: `code` and `message` are what the ERROR says,
    `ref` what it repeats."""

    code: ErrorCode = ErrorCode.MALFORMED_FRAME

    def __init__(self, message: str, ref: str | None = None) -> None:
        self.message = message
        self.ref = ref

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class NotUtf8(MalformedFrame):
    """The message is not UTF-8: on a socket the connection is closed with 1007 (RFC
    6455 section 8.1)."""


class UnknownType(MalformedFrame):
    code = ErrorCode.UNKNOWN_TYPE


class InvalidField(MalformedFrame):
    code = ErrorCode.INVALID_FIELD


class _Ref(msgspec.Struct):
    ref: str | None = None


_decoder: Final[msgspec.json.Decoder[Spelling]] = msgspec.json.Decoder(Spelling)
_ref_decoder: Final = msgspec.json.Decoder(_Ref)
_encoder: Final = msgspec.json.Encoder()
_older_spellings: Final = (CreateGroupChat, JoinGroupChat)

_AT_PATH: Final = re.compile(r"^(?P<what>.*) - at `\$\.(?P<path>[^`]*)`$", re.DOTALL)
_WORDS_CHARS: Final = 160
_PATTERNS: Final = {
    model.USERNAME_PATTERN: "a username: 3-32 of a-z 0-9 _ . beginning with a letter or digit",
    model.CONVERSATION_ID_PATTERN: (
        "the id of a conversation: a chatId or groupId that the server gave"
    ),
}
_MISSING: Final = re.compile(r"missing required field `(?P<name>[^`]*)`")


def decode(data: bytes | bytearray) -> Request:
    """The request that `data`, one whole text message, holds.

    Raises:
        NotUtf8: the bytes are not UTF-8.
        UnknownType: a JSON object whose `type` no request has.
        InvalidField: a request with a missing or wrong field, which the message names.
        MalformedFrame: anything else: not JSON, not an object, nested too deep, trailing bytes.
    """
    try:
        frame = _decoder.decode(str(data, "utf-8"))
    except UnicodeDecodeError as error:
        raise NotUtf8(f"not UTF-8 at byte {error.start}") from None
    except msgspec.ValidationError as error:
        raise _explain(str(error), data) from None
    except msgspec.DecodeError as error:
        raise MalformedFrame(f"not JSON: {error}") from None
    except RecursionError:
        raise MalformedFrame("nested too deep") from None
    if isinstance(frame, _older_spellings):
        return current(frame)
    return frame


def encode(frame: ServerFrame | Request) -> bytes:
    """The JSON text of a frame."""
    return _encoder.encode(frame)


def _explain(problem: str, data: bytes | bytearray) -> MalformedFrame:
    """Turn msgspec's words into an error that names the field and repeats the `ref`
    if it can be read."""
    ref = _read_ref(data)
    at = _AT_PATH.match(problem)
    if at is None:
        missing = _MISSING.search(problem)
        if missing is None:
            return MalformedFrame("a frame is one JSON object with a `type`", ref)
        return InvalidField(f"`{missing['name']}` is required", ref)
    what = _shortened(at["what"])
    if at["path"] == "type":
        if what.startswith("Invalid value"):
            name = what.removeprefix("Invalid value ")
            return UnknownType(f"{name} is not a request of this server", ref)
        return InvalidField("`type` must be a string", ref)
    for pattern, words in _PATTERNS.items():
        what = what.replace(f"`str` matching regex {pattern!r}", words)
    return InvalidField(f"`{at['path']}`: {what}", ref)


def _shortened(words: str) -> str:
    """msgspec quotes the bad value, however long it is; an error need not be."""
    return words if len(words) <= _WORDS_CHARS else f"{words[:_WORDS_CHARS]}…"


def _read_ref(data: bytes | bytearray) -> str | None:
    try:
        ref = _ref_decoder.decode(data).ref
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return ref if ref is not None and len(ref) <= limits.REF_CHARS else None
