"""The ledger on PostgreSQL: one call of one SQL function for everything that waits, in one commit.

The rules are in `sql/postgres/`; here entries become its arguments and its rows become outcomes.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

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
from chatd.stores.ledger import Entry, Outcome, Page
from chatd.stores.pool_postgres import Connection, Postgres, Row
from chatd.stores.rows import event_of_row
from chatd.stores.rows_postgres import EVENT_COLUMNS, messages_of_rows
from protocol.errors import ErrorCode
from protocol.limits import GROUP_MEMBERS, REACTIONS

_POSTS: Final = 1_000
_APPEND: Final = (
    "SELECT n, code, detail, seq, nonce, at, duplicate, befriended, version"
    " FROM append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
)


class PostgresLedger:
    """See the port."""

    def __init__(self, postgres: Postgres, writer: str) -> None:
        """`writer` names the process, which answers for the message store having the events."""
        self._postgres = postgres
        self._writer = writer

    def append(self, entries: Sequence[Entry]) -> asyncio.Future[list[Outcome]]:
        return asyncio.get_running_loop().create_task(self._append(entries), name="append")

    async def read(
        self,
        conversation_id: str,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int,
    ) -> list[Event]:
        rows = await self._postgres.fetch(
            f"SELECT {EVENT_COLUMNS} FROM ledger WHERE conversation_id = $1 AND seq > $2"
            " AND seq < $3 ORDER BY seq LIMIT $4",
            conversation_id,
            after,
            2**62 if before is None else before,
            limit,
        )
        return [event_of_row(row) for row in rows]

    async def page(
        self, conversation_id: str, *, after: int, before: int | None, limit: int, newest: bool
    ) -> Page:
        async with self._postgres.snapshot() as connection:
            head = await connection.fetchval(
                "SELECT last FROM head WHERE conversation_id = $1", conversation_id
            )
            rows = await connection.fetch(
                f"SELECT {EVENT_COLUMNS} FROM ledger WHERE conversation_id = $1 AND seq > $2"
                f" AND seq < $3 AND kind IN (1, 2) ORDER BY seq {'DESC' if newest else 'ASC'}"
                " LIMIT $4",
                conversation_id,
                after,
                2**62 if before is None else before,
                limit + 1,
            )
            has_more = len(rows) > limit
            rows = rows[:limit]
            if newest:
                rows.reverse()
            messages = await messages_of_rows(connection, conversation_id, rows)
        return Page(messages, has_more, head or 0)

    async def posts(self, conversation_id: str, *, after: int, up_to: int) -> list[tuple[int, str]]:
        rows = await self._postgres.fetch(
            "SELECT seq, sender FROM ledger WHERE conversation_id = $1 AND seq > $2 AND seq <= $3"
            f" AND kind IN (1, 2) ORDER BY seq DESC LIMIT {_POSTS}",
            conversation_id,
            after,
            up_to,
        )
        return [(row[0], row[1]) for row in rows]

    async def heads(self, conversation_ids: Sequence[str]) -> dict[str, int]:
        rows = await self._postgres.fetch(
            "SELECT conversation_id, last FROM head WHERE conversation_id = ANY($1)",
            list(conversation_ids),
        )
        return {row[0]: row[1] for row in rows}

    async def _append(self, entries: Sequence[Entry]) -> list[Outcome]:
        arguments = self._arguments(entries)
        if any(entry.kind is EventKind.MESSAGE_DELETED for entry in entries):
            async with self._postgres.transaction() as connection:
                outcomes = _outcomes(await connection.fetch(_APPEND, *arguments), len(entries))
                for entry, outcome in zip(entries, outcomes, strict=True):
                    if entry.kind is EventKind.MESSAGE_DELETED and _is_new(outcome):
                        await _blank(connection, entry)
            return outcomes
        return _outcomes(await self._postgres.fetch(_APPEND, *arguments), len(entries))

    def _arguments(self, entries: Sequence[Entry]) -> list[Any]:
        return [
            self._writer,
            [entry.conversation_id for entry in entries],
            [entry.kind.value for entry in entries],
            [entry.sender for entry in entries],
            [entry.key for entry in entries],
            [entry.mac or None for entry in entries],
            [entry.nonce for entry in entries],
            [entry.sealed for entry in entries],
            [entry.at_ms for entry in entries],
            [_facts(entry) for entry in entries],
        ]


def _facts(entry: Entry) -> str | None:
    """What the rules look at, as JSON; a message to a group needs no more than its columns."""
    body = entry.body
    if isinstance(body, MessageBody):
        return None if body.to is None else f'{{"to":"{body.to}"}}'
    facts: dict[str, Any] = {}
    if isinstance(body, ChangeBody):
        assert entry.target is not None
        facts = {
            "seq": entry.target.seq,
            "nonce": entry.target.nonce,
            "isDirect": body.is_direct,
        }
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


def _outcomes(rows: list[Row], count: int) -> list[Outcome]:
    outcomes: list[Outcome | None] = [None] * count
    for n, code, detail, seq, nonce, at_ms, duplicate, befriended, version in rows:
        outcomes[n - 1] = Outcome(
            None if code is None else ErrorCode(code),
            detail,
            seq,
            nonce,
            at_ms,
            duplicate,
            befriended=befriended,
            version=version or 0,
        )
    assert all(outcome is not None for outcome in outcomes)
    return [outcome for outcome in outcomes if outcome is not None]


def _is_new(outcome: Outcome) -> bool:
    return outcome.code is None and not outcome.duplicate


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
