"""The wire contract of chatd: frames, codes, limits and the session table. Pure:
no I/O, no clock."""

from protocol.codec import InvalidField, MalformedFrame, NotUtf8, UnknownType, decode, encode
from protocol.errors import ErrorCode

PROTOCOL_VERSION = 1
"""Raised when a client that follows the evolution rules of docs/protocol.md
would no longer work."""

__all__ = [
    "PROTOCOL_VERSION",
    "ErrorCode",
    "InvalidField",
    "MalformedFrame",
    "NotUtf8",
    "UnknownType",
    "decode",
    "encode",
]
