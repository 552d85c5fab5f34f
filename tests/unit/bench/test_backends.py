"""A run has a database, a keyspace and Redis databases of its own, and leaves nothing."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import asyncpg
import pytest
from redis import Redis

from bench.backends import Backends, described
from bench.errors import BenchError
from bench.services import Services
from chatd.stores.open_cassandra import Hosts
from chatd.stores.session_cassandra import Cassandra
from tests.support.loop import run
from tests.support.services import service

pytestmark = pytest.mark.slow


def services() -> Services:
    environment = {
        name: value
        for one in ("postgres", "cassandra", "redis", "redis-queue")
        for name, value in service(one).items()
    }
    return Services(environment, None)


async def databases(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    try:
        return {row[0] for row in await connection.fetch("SELECT datname FROM pg_database")}
    finally:
        await connection.close()


async def accounts(url: str) -> set[tuple[str, str]]:
    """Their names, and the beginnings of their password hashes."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT username, left(password_hash, 7) FROM account")
        return {(row[0], row[1]) for row in rows}
    finally:
        await connection.close()


async def has_keyspace(settings: Mapping[str, str], name: str) -> bool:
    cassandra = await Cassandra.connect(Hosts([settings["CHATD_CASSANDRA_HOSTS"]]))
    try:
        return await cassandra.has_keyspace(name)
    finally:
        await cassandra.close()


def test_backends_are_made_filled_and_dropped() -> None:
    with services() as given, Backends(given) as backends:
        settings = backends.settings
        name = urlsplit(settings["CHATD_DATABASE_URL"]).path[1:]
        assert name.startswith("bench_")
        assert settings["CHATD_CASSANDRA_KEYSPACE"] == name
        redis_urls = [settings["CHATD_REDIS_URL"], settings["CHATD_QUEUE_REDIS_URL"]]
        assert urlsplit(redis_urls[0]).path == urlsplit(redis_urls[1]).path != "/0"
        backends.add_accounts([f"user{n}" for n in range(1_000)])
        made = run(accounts(settings["CHATD_DATABASE_URL"]))
        assert made == {(f"user{n}", "$2b$04$") for n in range(1_000)}
        for url in redis_urls:
            with Redis.from_url(url) as redis:
                redis.set("left", "behind")
        assert run(has_keyspace(settings, name))
    assert name not in run(databases(given.settings["CHATD_DATABASE_URL"]))
    assert not run(has_keyspace(settings, name))
    for url in redis_urls:
        with Redis.from_url(url) as redis:
            assert redis.get("left") is None


def test_a_backend_that_is_not_there_is_one_line() -> None:
    nowhere = {
        **services().settings,
        "CHATD_DATABASE_URL": "postgresql://127.0.0.1:1/chat",
    }
    with Services(nowhere, None) as given:
        with pytest.raises(BenchError, match="the backends: "):
            described(given)
        with pytest.raises(BenchError, match="the backends: "), Backends(given):
            raise AssertionError("it was entered")


def test_versions_are_told() -> None:
    with services() as given:
        assert all(name in described(given) for name in ("PostgreSQL 1", "Cassandra ", "Redis "))
