"""Events and messages in Cassandra: rows of `event`, read bucket by bucket until there are enough.

A range costs a read for every 5,000 numbers of it that have not given enough: callers name the
numbers that there are.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from cassandra.query import PreparedStatement

from chatd.events import Event, EventKind, Message
from chatd.stores.bridge_cassandra import Row
from chatd.stores.message_puts_cassandra import BUCKET, MessagePuts
from chatd.stores.message_store import Put
from chatd.stores.session_cassandra import Cassandra

_SELECT: Final = (
    "SELECT {columns} FROM {event} WHERE conversation_id = ? AND bucket = ? AND seq > ? AND seq < ?"
)
_EVENT: Final = "seq, kind, nonce, sender, body, blank, at, version"
_MESSAGE: Final = (
    "seq, kind, nonce, sender, body, blank, at, deleted_seq, edit_seq, edit_nonce, edit_sender,"
    " edit_body, edit_blank, edit_at, edit_version, reactions"
)
# Within one partition, whose rows are bounded: cheaper than to fetch what is no message.
_MESSAGES_ONLY: Final = f" AND kind <= {EventKind.GROUP_MESSAGE.value}"
_ASCENDING: Final = " ORDER BY seq ASC LIMIT ?"
_FILTERED: Final = " ALLOW FILTERING"

T = TypeVar("T")


class _Statements(NamedTuple):
    """Prepared."""

    events: PreparedStatement
    lowest: PreparedStatement
    highest: PreparedStatement
    posts: PreparedStatement


class CassandraMessageStore:
    """See the port. Made by `prepare`."""

    def __init__(self, cassandra: Cassandra, puts: MessagePuts, statements: _Statements) -> None:
        self._cassandra = cassandra
        self._puts = puts
        self._statements = statements

    @classmethod
    async def prepare(cls, cassandra: Cassandra) -> "CassandraMessageStore":
        """On the keyspace of the session, whose schema is that of this version.

        Raises:
            BackendError
        """
        event = cassandra.table("event")
        texts = (
            _SELECT.format(event=event, columns=_EVENT) + _ASCENDING,
            _SELECT.format(event=event, columns=_MESSAGE) + _MESSAGES_ONLY + _ASCENDING + _FILTERED,
            _SELECT.format(event=event, columns=_MESSAGE) + _MESSAGES_ONLY + " LIMIT ?" + _FILTERED,
            _SELECT.format(event=event, columns="seq, kind, sender, deleted_seq")
            + _MESSAGES_ONLY
            + " LIMIT ?"
            + _FILTERED,
        )
        statements = _Statements(*await asyncio.gather(*map(cassandra.prepare, texts)))
        return cls(cassandra, await MessagePuts.prepare(cassandra), statements)

    async def put(self, puts: Sequence[Put]) -> None:
        await self._puts.put(puts)

    async def read(
        self, conversation_id: str, *, after: int, before: int, limit: int
    ) -> list[Event]:
        def take(row: Row) -> Event | None:
            # Without a kind it has not come yet, only something that changes it.
            return None if row[1] is None else _event(conversation_id, row, row[7] or 0)

        select = self._statements.events
        return await self._ascending(select, conversation_id, after, before, limit, take)

    async def messages(
        self, conversation_id: str, *, after: int, before: int, limit: int, newest: bool
    ) -> list[Message]:
        def take(row: Row) -> Message:
            return _message(conversation_id, row)

        if newest:
            select = self._statements.highest
            found = await self._descending(select, conversation_id, after, before, limit, take)
            return found[::-1]
        select = self._statements.lowest
        return await self._ascending(select, conversation_id, after, before, limit, take)

    async def posts(
        self, conversation_id: str, *, after: int, before: int, limit: int
    ) -> list[tuple[int, str]]:
        def take(row: Row) -> tuple[int, str] | None:
            seq, _, sender, deleted_seq = row
            return (seq, sender) if deleted_seq is None else None

        select = self._statements.posts
        return await self._descending(select, conversation_id, after, before, limit, take)

    async def _ascending(
        self,
        select: PreparedStatement,
        conversation_id: str,
        after: int,
        before: int,
        limit: int,
        take: Callable[[Row], T | None],
    ) -> list[T]:
        """The lowest `limit` of a range, of which `take` leaves something."""
        found: list[T] = []
        after = max(after, 0)
        while len(found) < limit and after + 1 < before:
            bucket = (after + 1) // BUCKET
            bound = select.bind((conversation_id, bucket, after, before, limit))
            rows = await self._cassandra.execute(bound)
            found += [taken for row in rows if (taken := take(row)) is not None]
            after = rows[-1][0] if len(rows) == limit else (bucket + 1) * BUCKET - 1
        return found[:limit]

    async def _descending(
        self,
        select: PreparedStatement,
        conversation_id: str,
        after: int,
        before: int,
        limit: int,
        take: Callable[[Row], T | None],
    ) -> list[T]:
        """The highest, in that order; as `_ascending`."""
        found: list[T] = []
        after = max(after, 0)
        while len(found) < limit and after + 1 < before:
            bucket = (before - 1) // BUCKET
            bound = select.bind((conversation_id, bucket, after, before, limit))
            rows = await self._cassandra.execute(bound)
            found += [taken for row in rows if (taken := take(row)) is not None]
            before = rows[-1][0] if len(rows) == limit else bucket * BUCKET
        return found[:limit]


def _event(conversation_id: str, row: Row, version: int) -> Event:
    seq, kind, nonce, sender, body, blank, at_ms = row[:7]
    kind = EventKind(kind)
    return Event(conversation_id, seq, nonce, kind, sender, body or blank, at_ms, version)


def _message(conversation_id: str, row: Row) -> Message:
    deleted_seq, edit_seq, nonce, sender, body, blank, at_ms, version, reactions = row[7:]
    edit = None
    if edit_seq is not None:
        kind = EventKind.MESSAGE_EDITED
        edit = Event(conversation_id, edit_seq, nonce, kind, sender, body or blank, at_ms, version)
    is_deleted = deleted_seq is not None
    return Message(
        _event(conversation_id, row, 0),
        version or 1,
        edit,
        is_deleted,
        [] if is_deleted or not reactions else _reactions(reactions.items()),
    )


def _reactions(stored: Any) -> list[tuple[str, str]]:
    """Those that were not taken back, in the order in which they came."""
    there = sorted((seq, key) for key, seq in stored if seq)
    found: list[tuple[str, str]] = []
    for _, key in there:
        emoji, _, username = key.rpartition(" ")
        found.append((emoji, username))
    return found
