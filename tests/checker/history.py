"""What was done and what was seen, in the order in which it happened to the checker's process.

A record is known by its number, its place in the history. A request carries the number of its
record as `ref`, so an answer names what it answers. An earlier record happened before a later one;
what two connections were told at about the same time may have been sent in the other order.
"""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from protocol import pushes
from protocol.pushes import Push, Reply
from protocol.requests import Request

POSTGRES: Final = "postgres"
"""The service without which nobody can be let in, and histories come from the message store alone.
"""
_CONTENT_CHARS: Final = 100


class Record(
    msgspec.Struct, tag_field="what", rename="camel", omit_defaults=True, kw_only=True, frozen=True
):
    at: int = 0
    """Milliseconds since the history began; for the reader's eye, no check looks at it."""


class Connecting(Record, tag="connecting", kw_only=True, frozen=True):
    """A device is about to connect; the number of the connection is new."""

    connection: int
    device: str
    user: str
    resumes: bool
    node: int = 0
    """Which of the nodes, by their order."""


class Connected(Record, tag="connected", kw_only=True, frozen=True):
    """INFO came: `log_id` is its."""

    connection: int
    log_id: str


class ShutOut(Record, tag="shut-out", kw_only=True, frozen=True):
    """The server was there and refused the handshake."""

    connection: int
    problem: str


class Asked(Record, tag="asked", kw_only=True, frozen=True):
    """A request is about to be sent; long contents are shortened, here and in what comes.
    Without a `ref` it has no answer unless it is refused."""

    connection: int
    request: Request


class Answered(Record, tag="answered", kw_only=True, frozen=True):
    connection: int
    asked: int | None
    """The number of the request's record; None when the reply names no request."""
    reply: Reply


class Told(Record, tag="told", kw_only=True, frozen=True):
    connection: int
    frame: Push


class Overdue(Record, tag="overdue", kw_only=True, frozen=True):
    """The connection is there, and the answers to these are not, long after."""

    connection: int
    asked: list[int]


class Garbled(Record, tag="garbled", kw_only=True, frozen=True):
    """What came was no frame."""

    connection: int
    problem: str


class Ended(Record, tag="ended", kw_only=True, frozen=True):
    """Nothing more came: everything that had come was read."""

    connection: int
    how: str
    """`close`, `disconnect` or `abort` when the device ended it, else `lost`."""
    code: int


class Settled(Record, tag="settled", kw_only=True, frozen=True):
    """Nobody had anything under way and these were the heads; the connection was then given time to
    be told everything and to be answered."""

    connection: int
    heads: dict[str, int]


class Audited(Record, tag="audited", kw_only=True, frozen=True):
    """At the end the connection asked for these conversations from the beginning, by RESUME and by
    pages of their histories."""

    connection: int
    conversations: list[str]


class Killed(Record, tag="killed", kw_only=True, frozen=True):
    node: int = 0


class Restarted(Record, tag="restarted", kw_only=True, frozen=True):
    node: int = 0


class Lost(Record, tag="lost", kw_only=True, frozen=True):
    """A service is about to be gone, as far as the nodes can tell."""

    service: str


class Found(Record, tag="found", kw_only=True, frozen=True):
    """It is back, and every node says so."""

    service: str


AnyRecord = (
    Connecting
    | Connected
    | ShutOut
    | Asked
    | Answered
    | Told
    | Overdue
    | Garbled
    | Ended
    | Settled
    | Audited
    | Killed
    | Restarted
    | Lost
    | Found
)

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(AnyRecord).decode


class History:
    def __init__(self) -> None:
        self.records: list[AnyRecord] = []
        self._began = time.monotonic()

    def now(self) -> int:
        """For a record's `at`."""
        return int((time.monotonic() - self._began) * 1000)

    def add(self, record: AnyRecord) -> int:
        """The number of the record."""
        self.records.append(record)
        return len(self.records) - 1


def short(content: str) -> str:
    """A content as it is recorded: a long one by its beginning, length and digest."""
    if len(content) <= _CONTENT_CHARS:
        return content
    digest = hashlib.blake2b(content.encode(), digest_size=12).hexdigest()
    return f"{content[:_CONTENT_CHARS]}… {len(content)} {digest}"


def shorten(frame: Reply | Push | Request) -> None:
    """Shorten all contents of a frame that nobody else uses, in place."""
    match frame:
        case pushes.OneToOneChatHistory() | pushes.GroupChatHistory():
            said: list[Any] = [*frame.messages]
        case pushes.InitData():
            said = [chat.last_message for chat in frame.chats]
            said += [group.last_message for group in frame.groups]
        case _:
            said = [frame]
    for one in said:
        content = getattr(one, "content", None)
        if isinstance(content, str) and len(content) > _CONTENT_CHARS:
            msgspec.structs.force_setattr(one, "content", short(content))


def line(number: int, record: AnyRecord) -> str:
    """A record as it stands in a file."""
    return f'{{"n":{number},{_encode(record)[1:].decode()}'


def save(records: Sequence[AnyRecord], path: Path) -> None:
    """Write JSON lines."""
    with path.open("w") as file:
        file.writelines(f"{line(number, record)}\n" for number, record in enumerate(records))


def load(path: Path) -> list[AnyRecord]:
    """Read what `save` wrote.

    Raises:
        msgspec.DecodeError: it is something else.
    """
    with path.open("rb") as file:
        return [_decode(text) for text in file]
