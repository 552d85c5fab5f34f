"""chatd.app_backends: what a start refuses, and what a migration does."""

import asyncio
import io
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import pytest
from loguru import logger

from chatd import config, waiting
from chatd.app_backends import migrate, on_backends
from chatd.config import Config
from chatd.errors import BackendAway, StartError
from chatd.metrics import Metrics
from chatd.schema import schema_files
from tests.support.backends import Backends
from tests.support.running import on_a_loop
from tests.support.services import service

PASSWORD: Final = "a-password-that-no-line-may-show"
SETTING: Final = "CHATD_{}".format


class Case(NamedTuple):
    setting: str
    change: Callable[[str], str]
    """The setting as it should be -> as it is."""
    words: list[str]
    """What the line must say."""
    error: type[StartError] = StartError


def away(url: str) -> str:
    """A URL with a password, of a port that nobody listens on."""
    scheme = url.partition(":")[0]
    return f"{scheme}://chatd:{PASSWORD}@127.0.0.1:1/0"


CASES: Final = {
    "no such database": Case(
        "database_url", lambda url: f"{url}x", ["PostgreSQL at 127.0.0.1:", "does not exist"]
    ),
    "no such user": Case(
        "database_url",
        lambda url: url.replace("chatd@", f"eve:{PASSWORD}@"),
        ["PostgreSQL at 127.0.0.1:", "CHATD_DATABASE_URL", "eve"],
    ),
    "no such parameter": Case("database_url", lambda url: f"{url}?colour=red", ["colour"]),
    "no such mode of TLS": Case("database_url", lambda url: f"{url}?sslmode=red", ["sslmode"]),
    "not durable": Case(
        "database_url",
        lambda url: f"{url}?synchronous_commit=off",
        ["PostgreSQL at 127.0.0.1:", "synchronous_commit = off"],
    ),
    "no such user of Redis": Case(
        "redis_url",
        lambda url: url.replace("redis://", f"redis://eve:{PASSWORD}@"),
        ["Redis at 127.0.0.1:", "CHATD_REDIS_URL"],
    ),
    "no such database of Redis": Case(
        "queue_redis_url",
        lambda url: f"{url}00",
        ["Redis at 127.0.0.1:", "CHATD_QUEUE_REDIS_URL", "out of range"],
    ),
    "no such option": Case("redis_url", lambda url: f"{url}?colour=red", ["CHATD_REDIS_URL"]),
    "a bad option": Case("redis_url", lambda url: f"{url}?db=red", ["CHATD_REDIS_URL"]),
    "no such keyspace": Case(
        "cassandra_keyspace", lambda name: f"{name}_x", ["keyspace", "_x", "chatd migrate"]
    ),
    "a keyspace of somebody else": Case(
        "cassandra_keyspace", lambda name: "system_traces", ["system_traces", "chatd migrate"]
    ),
    "no name of a keyspace": Case(
        "cassandra_keyspace", lambda name: "a-b", ["CHATD_CASSANDRA_KEYSPACE", "'a-b'"]
    ),
    "no such file": Case(
        "cassandra_tls_ca", lambda _: "/no/such/file", ["CHATD_CASSANDRA_TLS_CA", "/no/such/file"]
    ),
    "PostgreSQL is away": Case(
        "database_url", away, ["PostgreSQL at 127.0.0.1:1 was not there for 30 s"], BackendAway
    ),
    "Redis is away": Case(
        "redis_url", away, ["Redis at 127.0.0.1:1 was not there for 30 s"], BackendAway
    ),
    "the other Redis is away": Case(
        "queue_redis_url", away, ["Redis at 127.0.0.1:1 was not there for 30 s"], BackendAway
    ),
    "Cassandra is away": Case(
        "cassandra_hosts",
        lambda _: "127.0.0.1:1,127.0.0.2:1",
        ["Cassandra at 127.0.0.1:1, 127.0.0.2:1 was not there"],
        BackendAway,
    ),
    "a name without an address": Case(
        "redis_url",
        lambda _: "redis://no-such-host.invalid/0",
        ["Redis at no-such-host.invalid:6379 "],
        BackendAway,
    ),
}


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    sink = logger.add(stream, format="{level}: {message}")
    yield stream
    logger.remove(sink)


@pytest.fixture
def new_backends() -> Iterator[Backends]:
    """Without any schema."""
    with Backends(migrated=False) as backends:
        yield backends


def settings(backends: Backends, **others: str) -> Config:
    values = backends.settings | others
    return config.load(None, {SETTING(name.upper()): value for name, value in values.items()}, {})


async def refusal(settings: Config) -> StartError:
    with pytest.raises(StartError) as refused:
        async with on_backends(settings, Metrics()):
            pass
    assert "\n" not in str(refused.value)
    return refused.value


@pytest.mark.parametrize("name", CASES)
@on_a_loop
async def test_what_is_wrong_is_named_in_one_line(
    name: str, backends: Backends, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting, change, words, error = CASES[name]
    # The others have the time to be reached, and what is away no second attempt.
    monkeypatch.setattr(waiting, "PAUSE_SECONDS", waiting.SECONDS)
    others = {setting: change(backends.settings.get(setting, ""))}
    refused = await refusal(settings(backends, **others))
    assert type(refused) is error
    for word in words:
        assert word in str(refused), refused
    assert PASSWORD not in str(refused) + log.getvalue()
    assert "waiting" not in log.getvalue(), "what waiting does not mend is not waited for"


@on_a_loop
async def test_a_wrong_password(backends: Backends) -> None:
    for name, setting in (("postgres-tls", "database_url"), ("redis-tls", "redis_url")):
        url = service(name)[SETTING(setting.upper())]
        credentials, _, place = url.partition("://")[2].rpartition("@")
        user, _, password = credentials.partition(":")
        wrong = url.replace(f"{user}:{password}@", f"{user}:{PASSWORD}@")
        refused = await refusal(settings(backends, **{setting: wrong}))
        assert f" at {place.partition('/')[0]} refuses CHATD_{setting.upper()}: " in str(refused)
        assert PASSWORD not in str(refused)


async def refusals_of_both(configured: Config) -> list[str]:
    """What a start and a migration say."""
    with pytest.raises(StartError) as refused:
        await migrate(configured)
    return [str(await refusal(configured)), str(refused.value)]


@pytest.mark.slow
@on_a_loop
async def test_a_migration_is_done_once_and_a_start_wants_just_this_version(
    new_backends: Backends,
) -> None:
    configured = settings(new_backends)
    for _ in range(2):
        said = str(await refusal(configured))
        assert "no schema yet: run `chatd migrate`" in said, "a start makes none"
    one, other = await asyncio.gather(migrate(configured), migrate(configured))
    wanted = [f"PostgreSQL: {file.name}" for file in schema_files("sql/postgres")]
    last = wanted[-1].removeprefix("PostgreSQL: ")
    wanted += [f"Cassandra: {file.name}" for file in schema_files("cassandra")]
    assert sorted(one + other) == sorted(wanted), "each was applied once"
    assert await migrate(configured) == []
    async with on_backends(configured, Metrics()):
        pass
    await new_backends.run("INSERT INTO applied_schema VALUES ('999_new.sql', 'x')")
    for said in await refusals_of_both(configured):
        assert "made by a newer chatd (schema 999_new.sql)" in said
    await new_backends.run("DELETE FROM applied_schema WHERE name = '999_new.sql'")
    await new_backends.run(f"UPDATE applied_schema SET checksum = 'x' WHERE name = '{last}'")
    for said in await refusals_of_both(configured):
        assert f"{last} was changed after it was applied" in said
    await new_backends.run(f"DELETE FROM applied_schema WHERE name = '{last}'")
    said = str(await refusal(configured))
    assert f"the database lacks {last}: run `chatd migrate`" in said
