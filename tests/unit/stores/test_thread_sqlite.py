"""chatd.stores.thread_sqlite"""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chatd.errors import BackendError, StartError
from chatd.schema import SchemaFile, schema_files
from chatd.stores import thread_sqlite as module
from chatd.stores.thread_sqlite import Job, SqliteThread, migrate, open_connection, write_rows
from tests.support.builders import held, sqlite_threads
from tests.support.running import on_a_loop


class Bug(Exception):
    pass


@asynccontextmanager
async def threads(tmp_path: Path) -> AsyncIterator[tuple[SqliteThread, SqliteThread]]:
    """Writer and reader of a database with one table of numbers."""
    async with sqlite_threads(tmp_path / "db") as (writer, reader):
        await writer.submit(lambda c: c.execute("CREATE TABLE number (n INTEGER PRIMARY KEY)"))
        yield writer, reader


def put(n: int) -> Job[int]:
    def job(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO number VALUES (?)", (n,))
        return n

    return job


def put_and_fail(n: int) -> Job[int]:
    def job(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO number VALUES (?)", (n,))
        raise Bug(n)

    return job


def numbers(connection: sqlite3.Connection) -> list[int]:
    return [n for (n,) in connection.execute("SELECT n FROM number ORDER BY n")]


@on_a_loop
async def test_a_result_comes_after_the_commit(tmp_path: Path) -> None:
    async with threads(tmp_path) as (writer, reader):
        for n in range(20):
            assert await writer.submit(put(n)) == n
            assert await reader.submit(numbers) == list(range(n + 1))


@on_a_loop
async def test_jobs_run_in_the_order_of_their_submission(tmp_path: Path) -> None:
    async with threads(tmp_path) as (writer, _):
        order: list[int] = []

        def note(n: int) -> Job[None]:
            return lambda _: order.append(n)

        await asyncio.gather(*(writer.submit(note(n)) for n in range(50)))
        assert order == list(range(50))


@on_a_loop
async def test_a_job_that_raises_is_undone_alone(tmp_path: Path) -> None:
    async with threads(tmp_path) as (writer, reader):
        rollbacks = writer.rollbacks
        async with held(writer):
            first, second, third, repeated = (
                writer.submit(job) for job in (put(1), put_and_fail(2), put(3), put(1))
            )
        assert (await first, await third) == (1, 3)
        with pytest.raises(Bug):
            await second
        with pytest.raises(BackendError):
            await repeated
        assert await reader.submit(numbers) == [1, 3]
        assert writer.rollbacks == rollbacks + 2


@on_a_loop
async def test_a_job_that_raises_by_itself_is_undone(tmp_path: Path) -> None:
    async with threads(tmp_path) as (writer, reader):
        with pytest.raises(Bug):
            await writer.submit(put_and_fail(1))
        assert await reader.submit(numbers) == []
        assert writer.rollbacks == 1
        assert await writer.submit(put(1)) == 1
        assert writer.rollbacks == 1


@on_a_loop
async def test_jobs_that_wait_share_a_commit(tmp_path: Path) -> None:
    async with threads(tmp_path) as (writer, reader):
        seen: list[bool] = []
        async with held(writer):
            one = writer.submit(put(1))
            two = writer.submit(lambda connection: seen.append(connection.in_transaction))
            three = writer.submit(numbers)
        await asyncio.gather(one, two)
        assert seen == [True]
        assert await three == [1]
        assert await reader.submit(numbers) == [1]


@on_a_loop
async def test_a_commit_that_fails_fails_all_of_its_jobs(tmp_path: Path) -> None:
    async with threads(tmp_path) as (writer, reader):

        def break_a_reference(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO child VALUES (77)")

        await writer.submit(
            lambda c: c.execute(
                "CREATE TABLE child (n INTEGER REFERENCES number DEFERRABLE INITIALLY DEFERRED)"
            )
        )
        rollbacks = writer.rollbacks
        async with held(writer):
            jobs = [writer.submit(job) for job in (put(1), break_a_reference, put(2))]
        for job in jobs:
            with pytest.raises(BackendError):
                await job
        assert await reader.submit(numbers) == []
        assert writer.rollbacks > rollbacks
        await writer.submit(put(3))
        assert await reader.submit(numbers) == [3]


@on_a_loop
async def test_more_jobs_than_fit_a_commit_are_all_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_JOBS_A_COMMIT", 4)
    async with threads(tmp_path) as (writer, reader):
        async with held(writer):
            jobs = [writer.submit(put(n)) for n in range(11)]
        assert await asyncio.gather(*jobs) == list(range(11))
        assert await reader.submit(numbers) == list(range(11))


@on_a_loop
async def test_too_many_waiting_jobs_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with threads(tmp_path) as (writer, _):
        monkeypatch.setattr(module, "MAX_WAITING", 3)
        async with held(writer):
            jobs = [writer.submit(put(n)) for n in range(2)]
            with pytest.raises(BackendError):
                writer.submit(put(9))
        assert await asyncio.gather(*jobs) == [0, 1]
        assert await writer.submit(put(9)) == 9


@on_a_loop
async def test_a_job_whose_caller_has_gone_is_done_all_the_same(tmp_path: Path) -> None:
    async with threads(tmp_path) as (writer, reader):
        async with held(writer):
            job = writer.submit(put(1))
            job.cancel()
        await writer.submit(lambda _: None)
        assert await reader.submit(numbers) == [1]


@on_a_loop
async def test_closing_finishes_what_was_submitted(tmp_path: Path) -> None:
    async with threads(tmp_path) as (writer, reader):
        jobs = [writer.submit(put(n)) for n in range(50)]
        await writer.close()
        assert await asyncio.gather(*jobs) == list(range(50))
        assert await reader.submit(numbers) == list(range(50))
        with pytest.raises(BackendError):
            writer.submit(put(99))
        await writer.close()


@on_a_loop
async def test_a_reader_sees_nothing_of_a_transaction_under_way(tmp_path: Path) -> None:
    async with threads(tmp_path) as (writer, reader):
        async with held(writer):
            waiting = writer.submit(put(1))
            assert await reader.submit(numbers) == []
        await waiting
        assert await reader.submit(numbers) == [1]


@on_a_loop
async def test_a_reader_that_fails_goes_on(tmp_path: Path) -> None:
    async with threads(tmp_path) as (_, reader):
        with pytest.raises(BackendError):
            await reader.submit(lambda c: c.execute("SELECT * FROM nowhere"))
        assert await reader.submit(numbers) == []


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 127, 200])
def test_rows_are_written_all_and_in_order(count: int) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE pair (a, b)")
    rows = [(n, f"{n}") for n in range(count)]
    write_rows(connection, "INSERT INTO pair (a, b)", rows)
    assert connection.execute("SELECT a, b FROM pair ORDER BY rowid").fetchall() == rows
    connection.close()


def test_a_connection_is_durable(tmp_path: Path) -> None:
    connection = open_connection(tmp_path / "db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    connection.close()


# Migration.


def applied(database: Path) -> list[tuple[str, str, str]]:
    connection = open_connection(database)
    rows = connection.execute("SELECT name, checksum, applied_at FROM applied_schema").fetchall()
    connection.close()
    return rows


def execute(database: Path, statement: str) -> None:
    connection = open_connection(database)
    connection.execute(statement)
    connection.close()


def test_every_file_is_applied_once_and_recorded(tmp_path: Path) -> None:
    database = tmp_path / "db"
    migrate(database)
    first = applied(database)
    files = schema_files("sql/sqlite")
    assert [row[:2] for row in first] == [(file.name, file.checksum) for file in files]
    execute(database, "INSERT INTO meta VALUES ('kept', 'yes')")
    migrate(database)
    assert applied(database) == first
    connection = open_connection(database)
    assert connection.execute("SELECT value FROM meta").fetchall() == [("yes",)]
    connection.close()


def test_a_new_file_is_applied_to_an_old_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "db"
    migrate(database)
    files = [*schema_files("sql/sqlite"), SchemaFile("900_more.sql", "CREATE TABLE more (n);")]
    monkeypatch.setattr(module, "schema_files", lambda kind: files)
    migrate(database)
    execute(database, "INSERT INTO more VALUES (1)")
    assert [row[0] for row in applied(database)][-1] == "900_more.sql"


def test_a_file_that_fails_is_undone_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "db"
    migrate(database)
    before = applied(database)
    broken = SchemaFile("900_broken.sql", "CREATE TABLE half (n); CREATE TABLE half (n);")
    files = [*schema_files("sql/sqlite"), broken]
    monkeypatch.setattr(module, "schema_files", lambda kind: files)
    with pytest.raises(StartError):
        migrate(database)
    assert applied(database) == before
    execute(database, "CREATE TABLE half (n)")


def test_a_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    database = tmp_path / "db"
    migrate(database)
    execute(database, "UPDATE applied_schema SET checksum = 'x' WHERE name = '001_users.sql'")
    with pytest.raises(StartError, match=r"001_users\.sql was changed"):
        migrate(database)


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    database = tmp_path / "db"
    migrate(database)
    execute(database, "INSERT INTO applied_schema (name, checksum) VALUES ('999_new.sql', 'x')")
    with pytest.raises(StartError, match=r"newer chatd \(schema 999_new\.sql\)"):
        migrate(database)


def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    for database in (tmp_path / "missing" / "db", tmp_path):
        with pytest.raises(StartError, match="CHATD_DATA_DIR"):
            migrate(database)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    database = tmp_path / "db"
    database.write_text("This is a shopping list, not a database. " * 100)
    with pytest.raises(StartError, match="CHATD_DATA_DIR"):
        migrate(database)


@pytest.mark.slow
def test_a_full_disk_is_refused(tmp_path: Path) -> None:
    # The limit of a file's size stands for the end of the disk; it is the process's own.
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from chatd.errors import StartError\n"
        "from chatd.stores.thread_sqlite import migrate\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
        "try:\n"
        "    migrate(Path(sys.argv[1]))\n"
        "except StartError as error:\n"
        "    sys.exit(f'refused: {error}')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "db")],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr.startswith("refused: cannot use the database"), result.stderr
