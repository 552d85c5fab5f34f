"""Appending on PostgreSQL: one call of one SQL function for everything that waits, in one commit.

The rules are in `sql/postgres/`; here entries become its arguments and its rows become outcomes.
What was committed is handed to the batches, and so to the message store.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import asyncpg
import msgspec

from chatd.events import (
    ChangeBody,
    EditBody,
    Event,
    EventKind,
    GroupCreatedBody,
    MessageBody,
    ReactionBody,
    blanked,
)
from chatd.stores.batches import Batches
from chatd.stores.ledger import Entry, Outcome
from chatd.stores.message_store import Put
from chatd.stores.pool_postgres import Connection, Postgres, Row
from protocol.errors import ErrorCode
from protocol.limits import GROUP_MEMBERS, REACTIONS

_APPEND: Final = (
    "SELECT code, detail, seq, nonce, at, befriended, version"
    " FROM append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
)


class PostgresAppend:
    """What a ledger appends with. One instance a process."""

    def __init__(self, postgres: Postgres, writer: str, batches: Batches) -> None:
        """`writer` names the process, which answers for the message store having the events."""
        self._postgres = postgres
        self._writer = writer
        self._batches = batches

    async def append(self, entries: Sequence[Entry]) -> list[Outcome]:
        """As the port says."""
        batch = self._batches.begin()
        session: int | None = None
        try:
            # In the order in which heads are locked, by bytes: as strings are compared.
            order = sorted(range(len(entries)), key=lambda n: entries[n].conversation_id)
            in_order = [entries[n] for n in order]
            arguments = _arguments(in_order)
            async with self._postgres.connection() as connection:
                session = connection.get_server_pid()
                try:
                    rows = await _call(connection, in_order, self._writer, batch, arguments)
                except BaseException as error:
                    if not _has_failed(error):
                        # Who wants to know what became of it waits for the session to end.
                        with suppress(asyncpg.InterfaceError):
                            # The pool may have given a lost connection up already.
                            connection.terminate()
                    raise
        except BaseException as error:
            if session is None or _has_failed(error.__cause__ or error):
                self._batches.committed(batch, ())
            else:
                self._batches.lost(batch, session)
            raise
        outcomes = [Outcome()] * len(entries)
        puts: list[Put] = []
        for n, entry, row in zip(order, in_order, rows, strict=True):
            outcomes[n] = outcome = _outcome(entry, row)
            if _is_new(outcome):
                puts.append(_put(entry, outcome))
        self._batches.committed(batch, puts)
        return outcomes


async def _call(
    connection: Connection, entries: Sequence[Entry], writer: str, batch: int, arguments: list[Any]
) -> list[Row]:
    if all(entry.kind is not EventKind.MESSAGE_DELETED for entry in entries):
        return await connection.fetch(_APPEND, writer, batch, *arguments)
    async with connection.transaction():
        rows = await connection.fetch(_APPEND, writer, batch, *arguments)
        for entry, row in zip(entries, rows, strict=True):
            if entry.kind is EventKind.MESSAGE_DELETED and _is_new(_outcome(entry, row)):
                await _blank(connection, entry)
    return rows


def _has_failed(error: BaseException) -> bool:
    """Whether the server said that the call was undone. The end of a session says nothing."""
    return isinstance(error, asyncpg.PostgresError) and error.severity_en == "ERROR"


def _arguments(entries: Sequence[Entry]) -> list[Any]:
    facts = [_facts(entry) for entry in entries]
    return [
        [entry.conversation_id for entry in entries],
        [entry.kind.value for entry in entries],
        [entry.sender for entry in entries],
        [entry.body.to if isinstance(entry.body, MessageBody) else None for entry in entries],
        [entry.key for entry in entries],
        [entry.mac or None for entry in entries],
        [entry.nonce for entry in entries],
        [entry.sealed for entry in entries],
        [entry.at_ms for entry in entries],
        facts if any(facts) else None,
    ]


def _facts(entry: Entry) -> str | None:
    """What the rules look at, as JSON; a message needs no more than its columns."""
    body = entry.body
    if isinstance(body, MessageBody):
        return None
    facts: dict[str, Any] = {}
    if isinstance(body, ChangeBody):
        assert entry.target is not None
        facts = {
            "seq": entry.target.seq,
            "nonce": entry.target.nonce,
            "isDirect": body.is_direct,
        }
        if entry.author is not None:
            facts["author"] = entry.author
        if isinstance(body, EditBody) and entry.version is not None:
            facts["seen"] = entry.version
        elif isinstance(body, ReactionBody):
            facts |= {"emoji": body.emoji, "remove": body.remove, "limit": REACTIONS}
    else:
        facts = {
            name: value for name, value in msgspec.to_builtins(body).items() if value is not None
        }
        if isinstance(body, GroupCreatedBody):
            facts |= {"open": body.open, "history": body.history.value}
        elif entry.kind is EventKind.MEMBER_JOINED:
            facts["limit"] = GROUP_MEMBERS
    return msgspec.json.encode(facts).decode()


def _outcome(entry: Entry, row: Row) -> Outcome:
    code, detail, seq, nonce, at_ms, befriended, version = row
    if code is not None:
        return Outcome(ErrorCode(code), detail or "")
    if nonce is not None:
        return Outcome(seq=seq, nonce=nonce, at_ms=at_ms, duplicate=True)
    return Outcome(
        seq=seq,
        nonce=entry.nonce,
        at_ms=entry.at_ms,
        befriended=befriended,
        version=version or 0,
    )


def _is_new(outcome: Outcome) -> bool:
    return outcome.code is None and not outcome.duplicate


def _put(entry: Entry, outcome: Outcome) -> Put:
    event = Event(
        entry.conversation_id,
        outcome.seq,
        outcome.nonce,
        entry.kind,
        entry.sender,
        entry.sealed,
        outcome.at_ms,
        outcome.version,
    )
    if entry.target is None:
        return Put(event)
    if isinstance(entry.body, ReactionBody):
        return Put(event, entry.target.seq, entry.body.emoji, entry.body.remove)
    return Put(event, entry.target.seq)


async def _blank(connection: Connection, entry: Entry) -> None:
    """Overwrite the body of a message and those of its edits, in the commit of the delete."""
    assert entry.target is not None
    rows = await connection.fetch(
        "SELECT day, seq, kind, body FROM ledger WHERE conversation_id = $1"
        " AND (seq = $2 OR (target = $2 AND kind = $3))",
        entry.conversation_id,
        entry.target.seq,
        EventKind.MESSAGE_EDITED.value,
    )
    await connection.executemany(
        "UPDATE ledger SET body = $1 WHERE day = $2 AND conversation_id = $3 AND seq = $4",
        [
            (
                blanked(EventKind(row["kind"]), row["body"]),
                row["day"],
                entry.conversation_id,
                row["seq"],
            )
            for row in rows
        ],
    )
