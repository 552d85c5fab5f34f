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


async def _applied(connection: Connection) -> dict[str, str]:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS applied_schema (name text PRIMARY KEY, checksum text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT now())"
    )
    rows = await connection.fetch("SELECT name, checksum FROM applied_schema")
    return {row["name"]: row["checksum"] for row in rows}


async def _apply(
    connection: Connection, files: list[SchemaFile], applied: dict[str, str]
) -> list[str]:
    unknown = sorted(applied.keys() - {file.name for file in files})
    if unknown:
        raise StartError(
            f"the database was made by a newer chatd (schema {unknown[-1]});"
            " run that version or a newer one"
        )
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
        elif applied[file.name] != file.checksum:
            raise StartError(
                f"{file.name} was changed after it was applied to the database;"
                " restore it from the release"
            )
    return names
