"""The embedded ledger: number, key and body of an event are one row of the writer's transaction."""

import asyncio
import sqlite3
from collections.abc import Sequence
from typing import Final

from loguru import logger

from chatd.errors import BackendError
from chatd.events import Event, EventKind
from chatd.stores.admission_sqlite import Admission
from chatd.stores.ledger import LAST_MESSAGE_WITHIN, POSTS, Entry, Outcome, Page, Tail, Wanted
from chatd.stores.rows import event_of_row
from chatd.stores.rows_sqlite import EVENT_COLUMNS, MESSAGE_KINDS, messages_of_rows
from chatd.stores.thread_sqlite import SqliteThread, write_rows
from protocol.errors import ErrorCode

# OR FAIL and OR REPLACE keep no copy of the pages that a statement changes; what a failed statement
# leaves behind is undone with the job.
_INSERT: Final = (
    "INSERT OR FAIL INTO ledger (conversation_id, seq, nonce, sender, key, kind, body, mac, at)"
)
_RAISE_HEAD: Final = "INSERT OR REPLACE INTO head (conversation_id, last, at)"
_INSERT_CHANGE: Final = (
    "INSERT INTO ledger (conversation_id, seq, nonce, sender, key, kind, body, mac, at, target,"
    " version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_UNREAD: Final = (
    "SELECT count(*) FROM (SELECT 1 FROM ledger WHERE conversation_id = ? AND seq > ?"
    f" AND seq <= ? AND sender <> ? AND kind IN {MESSAGE_KINDS}"
    " AND NOT EXISTS (SELECT 1 FROM message_state AS changed"
    " WHERE changed.conversation_id = ledger.conversation_id AND changed.seq = ledger.seq"
    " AND deleted_seq <= ?) LIMIT ?)"
)
_LAST_MESSAGE: Final = (
    f"SELECT {EVENT_COLUMNS} FROM ledger WHERE conversation_id = ? AND seq > ? AND seq <= ?"
    f" AND kind IN {MESSAGE_KINDS} ORDER BY seq DESC LIMIT 1"
)
_SCRUB_SECONDS: Final = 1.0
"""From a delete until the old pages of the write-ahead log are thrown away."""


class _RepeatedKey(Exception):
    """An insert met a key that is already there: the call is done again, looking keys up first."""


class SqliteLedger:
    """See the port. One transaction of the writer thread per call."""

    def __init__(self, writer: SqliteThread, reader: SqliteThread, admission: Admission) -> None:
        self._writer = writer
        self._reader = reader
        self._admission = admission
        self._rollbacks_seen = 0
        self._scrubbing: asyncio.Task[None] | None = None

    def append(self, entries: Sequence[Entry]) -> asyncio.Future[list[Outcome]]:
        answer: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()

        def submit(look_up_keys: bool) -> None:
            self._writer.submit(
                lambda connection: self._append(connection, entries, look_up_keys)
            ).add_done_callback(attempted)

        def attempted(attempt: asyncio.Future[list[Outcome]]) -> None:
            error = attempt.exception()
            try:
                if isinstance(error, _RepeatedKey):
                    submit(look_up_keys=True)
                    return
            except BackendError as unsubmitted:
                error = unsubmitted
            if answer.cancelled():
                return
            if error is None:
                if any(entry.kind is EventKind.MESSAGE_DELETED for entry in entries):
                    self._scrub_soon()
                answer.set_result(attempt.result())
            else:
                answer.set_exception(error)

        submit(look_up_keys=False)
        return answer

    async def read(
        self,
        conversation_id: str,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int,
    ) -> list[Event]:
        sql = (
            f"SELECT {EVENT_COLUMNS} FROM ledger WHERE conversation_id = ? AND seq > ? AND seq < ?"
            " ORDER BY seq LIMIT ?"
        )
        arguments = (conversation_id, after, 2**62 if before is None else before, limit)

        def job(connection: sqlite3.Connection) -> list[Event]:
            return [event_of_row(row) for row in connection.execute(sql, arguments)]

        return await self._reader.submit(job)

    async def page(
        self, conversation_id: str, *, after: int, before: int | None, limit: int, newest: bool
    ) -> Page:
        sql = (
            f"SELECT {EVENT_COLUMNS} FROM ledger WHERE conversation_id = ? AND seq > ? AND seq < ?"
            f" AND kind IN {MESSAGE_KINDS} ORDER BY seq {'DESC' if newest else 'ASC'} LIMIT ?"
        )
        arguments = (conversation_id, after, 2**62 if before is None else before, limit + 1)

        def job(connection: sqlite3.Connection) -> Page:
            head = connection.execute(
                "SELECT last FROM head WHERE conversation_id = ?", (conversation_id,)
            ).fetchone()
            rows = connection.execute(sql, arguments).fetchall()
            has_more = len(rows) > limit
            rows = rows[:limit]
            if newest:
                rows.reverse()
            messages = messages_of_rows(connection, conversation_id, rows)
            return Page(messages, has_more, 0 if head is None else head[0])

        return await self._reader.submit(job)

    async def posts(self, conversation_id: str, *, after: int, up_to: int) -> list[tuple[int, str]]:
        def job(connection: sqlite3.Connection) -> list[tuple[int, str]]:
            return connection.execute(
                "SELECT seq, sender FROM ledger WHERE conversation_id = ? AND seq > ? AND seq <= ?"
                f" AND kind IN {MESSAGE_KINDS} ORDER BY seq DESC LIMIT {POSTS}",
                (conversation_id, after, up_to),
            ).fetchall()

        return await self._reader.submit(job)

    async def tails(self, username: str, wanted: Sequence[Wanted]) -> list[Tail]:
        def job(connection: sqlite3.Connection) -> list[Tail]:
            return [_tail(connection, username, one) for one in wanted]

        return await self._reader.submit(job)

    async def heads(self, conversation_ids: Sequence[str]) -> dict[str, int]:
        def job(connection: sqlite3.Connection) -> dict[str, int]:
            found: dict[str, int] = {}
            for conversation_id in conversation_ids:
                row = connection.execute(
                    "SELECT last FROM head WHERE conversation_id = ?", (conversation_id,)
                ).fetchone()
                if row is not None:
                    found[conversation_id] = row[0]
            return found

        return await self._reader.submit(job)

    def _scrub_soon(self) -> None:
        """Throw the write-ahead log away: deleted bodies are still in its old pages."""
        if self._scrubbing is None:
            self._scrubbing = asyncio.get_running_loop().create_task(self._scrub(), name="scrub")

    async def _scrub(self) -> None:
        try:
            done = False
            while not done:
                await asyncio.sleep(_SCRUB_SECONDS)
                done = await self._writer.truncate_log()
        except BackendError as error:
            # The database is closed, which throws the log away too.
            logger.debug("the log was not truncated: {}", error)
        finally:
            self._scrubbing = None

    # On the writer thread from here on.

    def _append(
        self, connection: sqlite3.Connection, entries: Sequence[Entry], look_up_keys: bool
    ) -> list[Outcome]:
        if self._rollbacks_seen != self._writer.rollbacks:
            self._admission.forget()
            self._rollbacks_seen = self._writer.rollbacks
        return self._attempt(connection, entries, look_up_keys=look_up_keys)

    def _attempt(
        self, connection: sqlite3.Connection, entries: Sequence[Entry], *, look_up_keys: bool
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        rows: list[tuple[object, ...]] = []
        heads: dict[str, tuple[str, int, int]] = {}
        for entry in entries:
            if entry.target is not None and rows:
                # A change looks at rows: those of this call must be there.
                _write_new(connection, rows)
                rows = []
            verdict = self._admission.admit(connection, entry)
            if isinstance(verdict, Outcome):
                outcomes.append(verdict)
                continue
            if look_up_keys and entry.key is not None:
                first = _first_with_key(connection, entry)
                if first is not None:
                    outcomes.append(first)
                    continue
            conversation, befriended, version = verdict
            conversation.last += 1
            seq = conversation.last
            row = (
                entry.conversation_id,
                seq,
                entry.nonce,
                entry.sender,
                entry.key,
                entry.kind.value,
                entry.sealed,
                entry.mac or None,
                entry.at_ms,
            )
            heads[entry.conversation_id] = (entry.conversation_id, seq, entry.at_ms)
            outcomes.append(
                Outcome(
                    seq=seq,
                    nonce=entry.nonce,
                    at_ms=entry.at_ms,
                    befriended=befriended,
                    version=version or 0,
                )
            )
            if entry.target is not None:
                connection.execute(_INSERT_CHANGE, (*row, entry.target.seq, version))
            elif look_up_keys:
                write_rows(connection, _INSERT, [row])
            else:
                rows.append(row)
        if rows:
            _write_new(connection, rows)
        if heads:
            write_rows(connection, _RAISE_HEAD, list(heads.values()))
        return outcomes


def _write_new(connection: sqlite3.Connection, rows: list[tuple[object, ...]]) -> None:
    try:
        write_rows(connection, _INSERT, rows)
    except sqlite3.IntegrityError:
        raise _RepeatedKey from None


def _first_with_key(connection: sqlite3.Connection, entry: Entry) -> Outcome | None:
    """The outcome of the event that has the entry's key already, if there is one."""
    row = connection.execute(
        "SELECT seq, nonce, mac, at FROM ledger"
        " WHERE conversation_id = ? AND sender = ? AND key = ?",
        (entry.conversation_id, entry.sender, entry.key),
    ).fetchone()
    if row is None:
        return None
    if row[2] != entry.mac:
        return Outcome(ErrorCode.CLIENT_MSG_ID_REUSED)
    return Outcome(seq=row[0], nonce=row[1], at_ms=row[3], duplicate=True)


def _tail(connection: sqlite3.Connection, username: str, wanted: Wanted) -> Tail:
    conversation_id, head, floor, read, unread_cap = wanted
    (unread,) = connection.execute(
        _UNREAD, (conversation_id, max(read, floor), head, username, head, unread_cap + 1)
    ).fetchone()
    last = connection.execute(
        _LAST_MESSAGE, (conversation_id, max(floor, head - LAST_MESSAGE_WITHIN), head)
    ).fetchall()
    messages = messages_of_rows(connection, conversation_id, last)
    return Tail(unread, messages[0] if messages else None)
