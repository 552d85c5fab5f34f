"""Bringing a PostgreSQL database up to the schema files of this version."""

from typing import Final

import asyncpg

from chatd.errors import BackendError, StartError
from chatd.schema import SchemaFile, schema_files
from chatd.stores.pool_postgres import Connection, Postgres

DAYS_AHEAD: Final = 3
"""Partitions of the ledger that are made before they are needed."""
_LOCK: Final = 0x63686174


async def migrate(postgres: Postgres) -> list[str]:
    """Apply the files that were not applied, all or none; their names. Nodes that do it at the same
    time wait for each other.

    Raises:
        StartError: the database was made by a newer version, a file was changed after it was
            applied, or the user may not change the schema.
        BackendError: the database cannot be reached.
    """
    try:
        async with postgres.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            applied = await _applied(connection)
            names = await _apply(connection, schema_files("sql/postgres"), applied)
            await connection.execute("SELECT make_partitions($1)", DAYS_AHEAD)
    except BackendError as error:
        if isinstance(error.__cause__, asyncpg.InsufficientPrivilegeError):
            raise StartError(f"the schema cannot be changed: {error}") from error
        raise
    return names


async def check(postgres: Postgres) -> None:
    """Look whether the schema is that of this version, and change nothing.

    Raises:
        StartError: it is not; the message says what to do.
        BackendError: the database cannot be reached.
    """
    if await postgres.fetchval("SELECT to_regclass('applied_schema') IS NULL"):
        raise StartError("the database has no schema yet: run `chatd migrate`")
    async with postgres.connection() as connection:
        applied = await _read_applied(connection)
    files = schema_files("sql/postgres")
    _check_applied(files, applied)
    missing = [file.name for file in files if file.name not in applied]
    if missing:
        raise StartError(f"the database lacks {', '.join(missing)}: run `chatd migrate`")


async def _applied(connection: Connection) -> dict[str, str]:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS applied_schema (name text PRIMARY KEY, checksum text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT now())"
    )
    return await _read_applied(connection)


async def _read_applied(connection: Connection) -> dict[str, str]:
    rows = await connection.fetch("SELECT name, checksum FROM applied_schema")
    return {row["name"]: row["checksum"] for row in rows}


async def _apply(
    connection: Connection, files: list[SchemaFile], applied: dict[str, str]
) -> list[str]:
    _check_applied(files, applied)
    names: list[str] = []
    for file in files:
        if file.name not in applied:
            await connection.execute(file.text)
            await connection.execute(
                "INSERT INTO applied_schema (name, checksum) VALUES ($1, $2)",
                file.name,
                file.checksum,
            )
            names.append(file.name)
    return names


def _check_applied(files: list[SchemaFile], applied: dict[str, str]) -> None:
    """Raises StartError: what was applied is not of these files."""
    unknown = sorted(applied.keys() - {file.name for file in files})
    if unknown:
        raise StartError(
            f"the database was made by a newer chatd (schema {unknown[-1]});"
            " run that version or a newer one"
        )
    for file in files:
        if applied.get(file.name, file.checksum) != file.checksum:
            raise StartError(
                f"{file.name} was changed after it was applied to the database;"
                " restore it from the release"
            )
