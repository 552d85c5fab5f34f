"""chatd.stores.migrate_cassandra"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chatd.errors import BackendError, StartError
from chatd.schema import SchemaFile, schema_files
from chatd.stores import migrate_cassandra as module
from chatd.stores.migrate_cassandra import check, commit_log_modes, migrate
from chatd.stores.open_cassandra import Hosts
from chatd.stores.session_cassandra import Cassandra
from tests.support.keyspace import Keyspace
from tests.support.running import on_a_loop
from tests.support.services import service

FILES = [file.name for file in schema_files("cassandra")]
LATER = SchemaFile(
    "900_later.cql", "-- One more; no table\nALTER TABLE event ADD IF NOT EXISTS x int;"
)

SIMPLE = "{'class': 'SimpleStrategy', 'replication_factor': 1}"

pytestmark = pytest.mark.slow


@asynccontextmanager
async def sessions(count: int = 1) -> AsyncIterator[tuple[str, list[Cassandra]]]:
    """The name of a keyspace that there is not, dropped at the end, and sessions on none."""
    hosts = Hosts(service("cassandra")["CHATD_CASSANDRA_HOSTS"].split(","))
    name = f"test_{uuid.uuid4().hex[:12]}"
    opened = [await Cassandra.connect(hosts) for _ in range(count)]
    try:
        yield name, opened
    finally:
        await opened[0].run(f"DROP KEYSPACE IF EXISTS {name}")
        for session in opened:
            await session.close()


async def replication_of(session: Cassandra, keyspace: str) -> dict[str, str]:
    rows = await session.run(
        "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = %s", [keyspace]
    )
    return dict(rows[0][0].items())


async def tables(session: Cassandra, keyspace: str) -> set[str]:
    query = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"
    return {row[0] for row in await session.run(query, [keyspace])}


def with_files(monkeypatch: pytest.MonkeyPatch, *files: SchemaFile) -> None:
    monkeypatch.setattr(module, "schema_files", lambda kind: list(files))


@on_a_loop
async def test_a_keyspace_is_made_with_all_tables_and_a_second_time_nothing_is_done() -> None:
    async with sessions(2) as (name, (session, other)):
        assert await migrate(session, name) == FILES
        assert session.keyspace == name
        assert "event" in await tables(session, name)
        replication = await replication_of(session, name)
        assert replication == {
            "class": "org.apache.cassandra.locator.NetworkTopologyStrategy",
            session.datacenter: "1",
        }
        await check(session)
        await session.run("DROP TABLE schema_lock")
        assert await migrate(other, name) == []
        # Not even the lock is taken.
        assert "schema_lock" not in await tables(session, name)


@on_a_loop
async def test_processes_that_migrate_at_the_same_time_wait_for_each_other() -> None:
    async with sessions(4) as (name, opened):
        done = await asyncio.gather(*(migrate(session, name) for session in opened))
        assert sorted(done) == [[], [], [], FILES]
        for session in opened:
            await check(session)
        query = "SELECT name FROM applied_schema"
        assert sorted(row[0] for row in await opened[0].run(query)) == FILES


@on_a_loop
async def test_a_new_file_is_applied_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with sessions() as (name, (session,)):
        await migrate(session, name)
        with_files(monkeypatch, *schema_files("cassandra"), LATER)
        with pytest.raises(StartError, match=r"lacks 900_later\.cql: run `chatd migrate`"):
            await check(session)
        assert await migrate(session, name) == [LATER.name]
        await session.run("SELECT x FROM event")
        await check(session)
        # What was not recorded, since the process died, is applied again.
        await session.run("TRUNCATE applied_schema")
        assert await migrate(session, name) == [*FILES, LATER.name]


@on_a_loop
async def test_a_file_that_was_changed_is_refused(
    keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = keyspace.session()
    first, *others = schema_files("cassandra")
    with_files(monkeypatch, first._replace(text=first.text + "\n"), *others)
    for attempt in (migrate(session, keyspace.name), check(session)):
        with pytest.raises(StartError, match=f"{first.name} was changed after it was applied"):
            await attempt


@on_a_loop
async def test_a_newer_keyspace_is_refused(
    keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = keyspace.session()
    *older, last = schema_files("cassandra")
    with_files(monkeypatch, *older)
    for attempt in (migrate(session, keyspace.name), check(session)):
        with pytest.raises(StartError, match=rf"newer chatd \(schema {last.name}\)"):
            await attempt


@on_a_loop
async def test_the_replication_of_a_keyspace_that_is_there_stays() -> None:
    async with sessions() as (name, (session,)):
        with pytest.raises(StartError, match=f"no keyspace {name}: run `chatd migrate`"):
            await session.use(name)
        await session.run(f"CREATE KEYSPACE {name} WITH replication = {SIMPLE}")
        before = await replication_of(session, name)
        await session.use(name)
        with pytest.raises(StartError, match=f"{name} lacks {FILES[0]}"):
            await check(session)
        wanted = f"{{'class': 'NetworkTopologyStrategy', '{session.datacenter}': 1}}"
        assert await migrate(session, name, wanted) == FILES
        assert await replication_of(session, name) == before


@on_a_loop
async def test_a_new_keyspace_has_the_name_and_the_replication_that_are_asked_for() -> None:
    async with sessions() as (name, (session,)):
        capitals = name.upper()
        try:
            await migrate(session, capitals, SIMPLE)
            await check(session)
            assert (await replication_of(session, capitals))["class"].endswith(".SimpleStrategy")
            assert not await session.has_keyspace(name)
        finally:
            await session.run(f'DROP KEYSPACE "{capitals}"')


@pytest.mark.parametrize("replication", ["3", "{}; DROP", "{'class': 'Nonsense'}", "{nonsense}"])
@on_a_loop
async def test_a_replication_that_is_none_is_named(keyspace: Keyspace, replication: str) -> None:
    session, name = keyspace.session(), f"{keyspace.name}_not"
    with pytest.raises(StartError, match="(?i)replication") as refusal:
        await migrate(session, name, replication)
    assert replication in str(refusal.value)
    assert not await session.has_keyspace(name)


@pytest.mark.parametrize("name", ["", "a-b", "x" * 49, 'x"; DROP', "ü"])
@on_a_loop
async def test_a_name_that_no_keyspace_can_have(keyspace: Keyspace, name: str) -> None:
    with pytest.raises(StartError, match="CHATD_CASSANDRA_KEYSPACE"):
        await migrate(keyspace.session(), name)


@on_a_loop
async def test_the_lock_of_a_dead_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async with sessions() as (name, (session,)):
        await migrate(session, name)
        await session.run("TRUNCATE applied_schema")
        take = "INSERT INTO schema_lock (name, holder) VALUES ('migrate', 'dead') USING TTL "
        await session.run(take + "600")
        with monkeypatch.context() as impatient:
            impatient.setattr(module, "_WAIT_SECONDS", 0.0)
            with pytest.raises(BackendError, match=f"another process migrates the keyspace {name}"):
                await migrate(session, name)
        await session.run(take + "1")
        assert await migrate(session, name) == FILES


@on_a_loop
async def test_who_has_lost_the_lock_changes_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async with sessions() as (name, (session,)):
        await migrate(session, name)
        with_files(monkeypatch, *schema_files("cassandra"), LATER)
        run = session.run

        async def losing(query: str, *arguments: Any, **options: Any) -> Any:
            answer = await run(query, *arguments, **options)
            if query.startswith("INSERT INTO schema_lock"):
                await run("TRUNCATE schema_lock")
                await run("INSERT INTO schema_lock (name, holder) VALUES ('migrate', 'other')")
            return answer

        monkeypatch.setattr(session, "run", losing)
        with pytest.raises(BackendError, match="another process migrates"):
            await migrate(session, name)
        rows = await run("SELECT holder FROM schema_lock")
        assert rows == [("other",)]
        assert (await run("SELECT name FROM applied_schema")) == [(one,) for one in FILES]


@on_a_loop
async def test_when_the_commit_log_is_written_is_told(keyspace: Keyspace) -> None:
    address = service("cassandra")["CHATD_CASSANDRA_HOSTS"]
    assert await commit_log_modes(keyspace.session()) == {address: "group"}
