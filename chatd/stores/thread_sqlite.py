"""SQLite off the loop: one thread that writes, with group commit, and one that reads.

A job is a function of the connection. The writer runs every job that waits when it is free in one
transaction and one fsync; their futures resolve after the commit, in one wake-up of the loop. A job
that raises is undone alone. The reader has its own connection and sees what was committed before
its job began (WAL).

Limit: `MAX_WAITING` jobs a thread. At the limit `submit` raises BackendError: the
disk does not keep up.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from chatd.errors import BackendError, StartError
from chatd.schema import SchemaFile, schema_files

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]

MAX_WAITING: Final = 10_000
MAX_JOBS_A_COMMIT: Final = 500
_ROWS_A_STATEMENT: Final = 64
_WAL_PAGES_BEFORE_CHECKPOINT: Final = 4_000
_CACHE_KIB: Final = 4_096
"""Of pages, a connection; the system keeps the rest of the file in its own. With 15,000
conversations written at random 64 MiB were no faster; at 2 MiB large commits cost a fifth more."""
_BUSY_MS: Final = 5_000
_TRUNCATE_BUSY_MS: Final = 50


class _Waiting(NamedTuple):
    job: Job[Any]
    future: asyncio.Future[Any]
    is_outside: bool = False
    """Runs between transactions."""


class _Done(NamedTuple):
    future: asyncio.Future[Any]
    result: Any
    error: BaseException | None


class SqliteThread:
    """One thread that owns one connection; with `commits` it is the writer."""

    def __init__(self, path: Path, name: str, *, commits: bool) -> None:
        # Opened here, so that a database that cannot be opened is told to the caller.
        self._connection = open_connection(path)
        self._commits = commits
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._waiting = 0
        self._is_closed = False
        self.rollbacks = 0
        """Grows when work was undone: whoever mirrors rows in memory must forget them."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Job[T]) -> "asyncio.Future[T]":
        """Run `job` on the thread; the future has its result, for a writer after the commit.

        Raises:
            BackendError: too many jobs wait, or the thread was closed.
        """
        if self._is_closed:
            raise BackendError("the database is closed")
        if self._waiting >= MAX_WAITING:
            raise BackendError(f"{MAX_WAITING} database jobs are waiting")
        self._waiting += 1
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Waiting(job, future))
        return future

    async def truncate_log(self) -> bool:
        """Move the write-ahead log into the database and cut it to nothing; False when a
        reader was in the way.

        Raises:
            BackendError: see `submit`.
        """
        if self._is_closed:
            raise BackendError("the database is closed")
        self._waiting += 1
        future: asyncio.Future[bool] = self._loop.create_future()
        self._queue.put(_Waiting(_truncate_log, future, is_outside=True))
        return await future

    async def close(self) -> None:
        """Finish what was submitted, then end the thread."""
        self._is_closed = True
        self._queue.put(None)
        await self._loop.run_in_executor(None, self._thread.join)

    def _run(self) -> None:
        connection = self._connection
        try:
            open_for_work = True
            while open_for_work:
                batch: list[_Waiting] = []
                outside: _Waiting | None = None
                item = self._queue.get()
                while item is not None:
                    if item.is_outside:
                        outside = item
                        break
                    batch.append(item)
                    if len(batch) == MAX_JOBS_A_COMMIT:
                        break
                    try:
                        item = self._queue.get_nowait()
                    except queue.Empty:
                        break
                else:
                    open_for_work = False
                done: list[_Done] = []
                if batch:
                    done = (
                        self._commit(connection, batch)
                        if self._commits
                        else self._read(connection, batch)
                    )
                if outside is not None:
                    done.append(_attempt(connection, outside))
                if done:
                    self._loop.call_soon_threadsafe(self._resolve, done)
        finally:
            connection.close()

    def _read(self, connection: sqlite3.Connection, batch: list[_Waiting]) -> list[_Done]:
        # In one transaction: all statements of a job see the same moment.
        try:
            connection.execute("BEGIN")
            done = [_attempt(connection, waiting) for waiting in batch]
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            failure = BackendError(f"the read failed: {error}")
            return [_Done(waiting.future, None, failure) for waiting in batch]
        return done

    def _commit(self, connection: sqlite3.Connection, batch: list[_Waiting]) -> list[_Done]:
        done: list[_Done] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            if len(batch) == 1:
                done = self._commit_alone(connection, batch[0])
            else:
                for waiting in batch:
                    connection.execute("SAVEPOINT job")
                    outcome = _attempt(connection, waiting)
                    if outcome.error is not None:
                        connection.execute("ROLLBACK TO job")
                        self.rollbacks += 1
                    connection.execute("RELEASE job")
                    done.append(outcome)
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            self.rollbacks += 1
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            failure = BackendError(f"the commit failed: {error}")
            return [_Done(waiting.future, None, failure) for waiting in batch]
        return done

    def _commit_alone(self, connection: sqlite3.Connection, waiting: _Waiting) -> list[_Done]:
        outcome = _attempt(connection, waiting)
        if outcome.error is not None:
            self.rollbacks += 1
        connection.execute("COMMIT" if outcome.error is None else "ROLLBACK")
        return [outcome]

    def _resolve(self, done: list[_Done]) -> None:
        self._waiting -= len(done)
        for future, result, error in done:
            if future.cancelled():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)


def _attempt(connection: sqlite3.Connection, waiting: _Waiting) -> _Done:
    try:
        return _Done(waiting.future, waiting.job(connection), None)
    except sqlite3.Error as error:
        return _Done(waiting.future, None, BackendError(f"the database failed: {error}"))
    except Exception as error:
        return _Done(waiting.future, None, error)


def _truncate_log(connection: sqlite3.Connection) -> bool:
    connection.execute(f"PRAGMA busy_timeout={_TRUNCATE_BUSY_MS}")
    try:
        (is_busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not is_busy
    finally:
        connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")


def write_rows(
    connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[object, ...]]
) -> None:
    """INSERT many rows with few statements; `statement` ends before VALUES.

    Every statement hands the interpreter to other threads and waits to get it back, so one for
    each row would be slow beside a busy loop. Rows go in chunks of powers of two, so that there
    are few texts to prepare.
    """
    start, chunk = 0, _ROWS_A_STATEMENT
    row = f"({', '.join('?' * len(rows[0]))})"
    while start < len(rows):
        while chunk > len(rows) - start:
            chunk //= 2
        values = ", ".join([row] * chunk)
        arguments = [value for a_row in rows[start : start + chunk] for value in a_row]
        connection.execute(f"{statement} VALUES {values}", arguments)
        start += chunk


def open_connection(path: Path) -> sqlite3.Connection:
    """A durable connection: WAL, and an fsync at every commit."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
    # What was overwritten is overwritten on disk: a deleted message must be gone.
    connection.execute("PRAGMA secure_delete=ON")
    connection.execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES_BEFORE_CHECKPOINT}")
    connection.execute("PRAGMA temp_store=MEMORY")
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    return connection


def migrate(path: Path) -> None:
    """Bring the database up to the schema files of this version. Each file is applied
    once, in one transaction.

    Raises:
        StartError: the database cannot be opened, was made by a newer version, or a file was
            changed after it was applied.
    """
    try:
        connection = open_connection(path)
        try:
            _apply(connection, schema_files("sql/sqlite"), path)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StartError(
            f"cannot use the database {path}: {error}; set CHATD_DATA_DIR to another folder"
        ) from error


def _apply(connection: sqlite3.Connection, files: list[SchemaFile], path: Path) -> None:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS applied_schema (name TEXT PRIMARY KEY, checksum TEXT NOT NULL,"
        " applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP) WITHOUT ROWID"
    )
    applied = dict(connection.execute("SELECT name, checksum FROM applied_schema").fetchall())
    unknown = sorted(applied.keys() - {file.name for file in files})
    if unknown:
        raise StartError(
            f"{path} was made by a newer chatd (schema {unknown[-1]});"
            " run that version or a newer one"
        )
    for file in files:
        if file.name not in applied:
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{file.text}\n"
                "INSERT INTO applied_schema (name, checksum)"
                f" VALUES ('{file.name}', '{file.checksum}');\nCOMMIT;"
            )
        elif applied[file.name] != file.checksum:
            raise StartError(
                f"{file.name} was changed after it was applied to {path};"
                " restore it from the release"
            )
