"""Bringing Cassandra up to the schema files of this version.

Cassandra has no transaction for that: every statement of a file can be repeated, and a file is
recorded when all of it was applied. Who migrates holds a lock, which ends by itself when the
process dies.
"""

import asyncio
import random
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Final

from cassandra import ConsistencyLevel, Timeout
from loguru import logger

from chatd.errors import BackendError, StartError
from chatd.schema import SchemaFile, schema_files
from chatd.stores.session_cassandra import Cassandra, quoted

REPLICAS: Final = 3
"""Of a new keyspace, where there are as many nodes."""
LOCK_SECONDS: Final = 60
"""A lock that is not renewed ends after this time; a statement takes less."""
_WAIT_SECONDS: Final = 2.0 * LOCK_SECONDS
_ASK_SECONDS: Final = 0.2
_MAP: Final = re.compile(r"\{[^{};]*\}")
_EVERYWHERE: Final = ConsistencyLevel.QUORUM
"""Also when another datacenter has migrated."""


async def migrate(cassandra: Cassandra, keyspace: str, replication: str = "") -> list[str]:
    """Make the keyspace if there is none, and apply the files that were not applied; their names.
    Processes that do it at the same time wait for each other. `replication` is of a new keyspace,
    as CQL has it; "" for `REPLICAS` in the datacenter. That of an existing one is never changed.

    Raises:
        StartError: the keyspace was made by a newer version, a file was changed after it was
            applied, the replication is none, or the user may not change the schema.
        BackendError: Cassandra cannot be reached, or its nodes do not agree.
    """
    if not await cassandra.has_keyspace(keyspace):
        await _make_keyspace(cassandra, keyspace, replication)
    await cassandra.agree()
    await cassandra.use(keyspace)
    if not await _missing(cassandra, _EVERYWHERE):
        return []
    async with _lock(cassandra) as renew:
        await cassandra.run(
            "CREATE TABLE IF NOT EXISTS applied_schema"
            " (name text PRIMARY KEY, checksum text, applied_at timestamp)"
        )
        missing = await _missing(cassandra, _EVERYWHERE)
        for file in missing:
            for statement in _statements(file.text):
                await renew()
                await cassandra.run(statement)
            await cassandra.run(
                "INSERT INTO applied_schema (name, checksum, applied_at)"
                " VALUES (%s, %s, toTimestamp(now()))",
                [file.name, file.checksum],
                consistency=_EVERYWHERE,
            )
    return [file.name for file in missing]


async def check(cassandra: Cassandra) -> None:
    """Look whether the session's keyspace has the schema of this version, and change nothing.

    Raises:
        StartError: it is not; the message says what to do.
        BackendError: Cassandra cannot be reached.
    """
    missing = [file.name for file in await _missing(cassandra)]
    if missing:
        raise StartError(
            f"the keyspace {cassandra.keyspace} lacks {', '.join(missing)}: run `chatd migrate`"
        )


async def commit_log_modes(cassandra: Cassandra) -> dict[str, str]:
    """When each node that is up writes its commit log to the disk, by host:port: before it answers
    ("batch", "group"), or every now and then ("periodic"), so that what was stored can be lost when
    all replicas lose their power at once.

    Raises:
        BackendError: Cassandra cannot be reached.
    """
    query = "SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'"
    answers = await cassandra.run_on_each(query)
    return {host: str(rows[0][0]) if rows else "unknown" for host, rows in answers.items()}


async def _make_keyspace(cassandra: Cassandra, keyspace: str, replication: str) -> None:
    replicas = min(REPLICAS, cassandra.nodes)
    default = f"{{'class': 'NetworkTopologyStrategy', '{cassandra.datacenter}': {replicas}}}"
    if replication and not _MAP.fullmatch(replication):
        raise StartError(
            f"bad value of CHATD_CASSANDRA_REPLICATION: {replication!r} is not like {default}"
        )
    wanted = replication or default
    try:
        await cassandra.run(
            f"CREATE KEYSPACE IF NOT EXISTS {quoted(keyspace)} WITH replication = {wanted}"
        )
    except StartError as error:
        raise StartError(
            f"the keyspace {keyspace} with replication {wanted} cannot be made: {error}"
        ) from error


async def _missing(cassandra: Cassandra, consistency: int | None = None) -> list[SchemaFile]:
    """The files that were not applied. Raises StartError: what was applied is not of these."""
    files = schema_files("cassandra")
    applied: dict[str, str] = {}
    if await cassandra.run(
        "SELECT table_name FROM system_schema.tables"
        " WHERE keyspace_name = %s AND table_name = 'applied_schema'",
        [cassandra.keyspace],
    ):
        query = "SELECT name, checksum FROM applied_schema"
        applied = dict(await cassandra.run(query, consistency=consistency))
    unknown = sorted(applied.keys() - {file.name for file in files})
    if unknown:
        raise StartError(
            f"the keyspace {cassandra.keyspace} was made by a newer chatd (schema {unknown[-1]});"
            " run that version or a newer one"
        )
    for file in files:
        if applied.get(file.name, file.checksum) != file.checksum:
            raise StartError(
                f"{file.name} was changed after it was applied to the keyspace"
                f" {cassandra.keyspace}; restore it from the release"
            )
    return [file for file in files if file.name not in applied]


@asynccontextmanager
async def _lock(cassandra: Cassandra) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Alone in the keyspace, as long as what it gives is called often enough.

    Raises:
        BackendError: somebody else holds it for too long, or has taken it meanwhile.
    """
    # With an id of our choice: two tables of the same name, made at the same time by two nodes of
    # Cassandra, would never become one.
    table_id = uuid.uuid5(uuid.NAMESPACE_OID, f"{cassandra.keyspace}.schema_lock")
    await cassandra.run(
        "CREATE TABLE IF NOT EXISTS schema_lock (name text PRIMARY KEY, holder text)"
        f" WITH id = {table_id}"
    )
    await cassandra.agree()
    holder = uuid.uuid4().hex
    deadline = time.monotonic() + _WAIT_SECONDS
    ttl = f" USING TTL {LOCK_SECONDS}"
    take = f"INSERT INTO schema_lock (name, holder) VALUES ('migrate', %s) IF NOT EXISTS{ttl}"
    keep = f"UPDATE schema_lock{ttl} SET holder = %s WHERE name = 'migrate' IF holder = %s"
    leave = "DELETE FROM schema_lock WHERE name = 'migrate' IF holder = %s"
    find = "SELECT holder FROM schema_lock WHERE name = 'migrate'"
    somebody_else = BackendError(f"another process migrates the keyspace {cassandra.keyspace}")

    async def renew() -> None:
        if not await _holds(cassandra, keep, [holder, holder], deadline):
            raise somebody_else

    # Who waits only reads: several that try at the same time are in each other's way.
    while await cassandra.run(find, consistency=_EVERYWHERE) or not await _holds(
        cassandra, take, [holder], deadline
    ):
        if time.monotonic() > deadline:
            raise somebody_else
        await _pause()
    try:
        yield renew
    finally:
        try:
            # Whether it was ours to the end does not matter, only that it is not any more.
            await _holds(cassandra, leave, [holder], time.monotonic() + LOCK_SECONDS)
        except BackendError as error:
            logger.warning("the lock ends by itself in {} s: {}", LOCK_SECONDS, error)


async def _holds(
    cassandra: Cassandra, statement: str, parameters: list[str], deadline: float
) -> bool:
    """Whether whoever is named first holds the lock after a statement that wants it, which is
    repeated while its outcome is unknown."""
    while True:
        try:
            ((is_applied, *found),) = await cassandra.run(statement, parameters)
            return bool(is_applied) or parameters[0] in found
        except BackendError as error:
            if not isinstance(error.__cause__, Timeout) or time.monotonic() > deadline:
                raise
        await _pause()


async def _pause() -> None:
    await asyncio.sleep(random.uniform(0.5, 1.5) * _ASK_SECONDS)


def _statements(text: str) -> Iterator[str]:
    """The statements of a file; no string in it has a semicolon or two hyphens."""
    for statement in re.sub(r"--.*", "", text).split(";"):
        if statement.strip():
            yield statement.strip()
