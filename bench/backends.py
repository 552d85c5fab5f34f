"""Backends of a run's own in the services: a database, a keyspace, and databases of Redis; made on
entering the context and dropped on leaving it."""

import asyncio
import fcntl
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import asyncpg
from redis import Redis
from redis.exceptions import RedisError

from bench.errors import BenchError
from bench.peers.chatd import environment_with
from bench.peers.chatd_accounts import COLUMNS, rows
from bench.services import CASSANDRA, DATABASE, QUEUE_REDIS, REDIS, Services
from chatd.errors import BackendError, StartError
from chatd.stores.migrate_cassandra import commit_log_modes
from chatd.stores.open_cassandra import Hosts
from chatd.stores.session_cassandra import Cassandra

_KEYSPACE: Final = "CHATD_CASSANDRA_KEYSPACE"
_SECRET: Final = "CHATD_JWT_SECRET"
_REDIS_NUMBERS: Final = range(1, 16)
_MIGRATE_SECONDS: Final = 120
_RENEW_EPOCH: Final = (
    "INSERT INTO meta (key, value) VALUES ('names_epoch', $1)"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)
_FAILURES: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    BackendError,
    RedisError,
    StartError,
    OSError,
)

T = TypeVar("T")


class Backends:
    """See the module. The names begin with `bench_`, in case something is ever left."""

    def __init__(self, services: Services) -> None:
        self.settings: dict[str, str] = {}
        """Variables of a node; there within the context."""
        self._services = services.settings
        self._name = f"bench_{secrets.token_hex(6)}"
        self._stack = ExitStack()

    @property
    def secret(self) -> bytes:
        """What tokens are signed with."""
        return self.settings[_SECRET].encode()

    def __enter__(self) -> Self:
        """
        Raises:
            BenchError: they cannot be made.
        """
        with ExitStack() as stack:
            settings = self._services
            redis, queue_redis = settings[REDIS], settings.get(QUEUE_REDIS) or settings[REDIS]
            number = str(_own_redis_number((redis, queue_redis), stack))
            self.settings = settings | {
                DATABASE: _with_path(settings[DATABASE], self._name),
                _KEYSPACE: self._name,
                REDIS: _with_path(redis, number),
                QUEUE_REDIS: _with_path(queue_redis, number),
                _SECRET: secrets.token_hex(32),
            }
            self._on_server(f"CREATE DATABASE {self._name}")
            stack.callback(self._on_server, f"DROP DATABASE {self._name} WITH (FORCE)")
            stack.callback(self._drop_keyspace)
            self._migrate()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._stack.close()

    def add_accounts(self, users: Sequence[str]) -> None:
        """Make accounts at once; nodes that run take note.

        Raises:
            BenchError: the database does not take them.
        """

        async def add() -> None:
            connection = await asyncpg.connect(self.settings[DATABASE])
            try:
                async with connection.transaction():
                    # What a name filter knows of who exists is void with that.
                    await connection.execute(_RENEW_EPOCH, secrets.token_hex(8))
                    await connection.copy_records_to_table(
                        "account", records=rows(users), columns=COLUMNS
                    )
            finally:
                await connection.close()

        _run(add)

    def _on_server(self, statement: str) -> None:
        async def execute() -> None:
            connection = await asyncpg.connect(self._services[DATABASE])
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        _run(execute)

    def _drop_keyspace(self) -> None:
        async def drop() -> None:
            cassandra = await Cassandra.connect(_hosts(self._services))
            try:
                await cassandra.run(f"DROP KEYSPACE IF EXISTS {self._name}")
            finally:
                await cassandra.close()

        _run(drop)

    def _migrate(self) -> None:
        try:
            done = subprocess.run(
                [sys.executable, "-m", "chatd", "migrate"],
                env=environment_with(self.settings),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_MIGRATE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BenchError(f"`chatd migrate` takes more than {_MIGRATE_SECONDS} s") from None
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["it said nothing"]
            raise BenchError(f"`chatd migrate` failed: {lines[-1]}")


def described(services: Services) -> str:
    """The versions of the services, and how they make durable what they are given.

    Raises:
        BenchError: one of them cannot be reached.
    """

    async def ask() -> str:
        connection = await asyncpg.connect(services.settings[DATABASE])
        try:
            postgres = await connection.fetchval("SHOW server_version")
            fsync = await connection.fetchval("SHOW fsync")
        finally:
            await connection.close()
        cassandra = await Cassandra.connect(_hosts(services.settings))
        try:
            ((release,),) = await cassandra.run("SELECT release_version FROM system.local")
            modes = sorted(set((await commit_log_modes(cassandra)).values()))
        finally:
            await cassandra.close()
        with Redis.from_url(services.settings[REDIS]) as redis:
            version = redis.info("server")["redis_version"]
        return (
            f"PostgreSQL {postgres.split()[0]} (fsync {fsync}), Cassandra {release} (commit log"
            f" {', '.join(modes)}), Redis {version}, {services.origin}"
        )

    return _run(ask)


def _run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    try:
        return asyncio.run(work())
    except _FAILURES as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise BenchError(f"the backends: {text}") from None


def _own_redis_number(urls: Sequence[str], stack: ExitStack) -> int:
    """The number of a database that is empty in all these Redis, and that nobody else takes before
    `stack` ends, which empties it again.

    Raises:
        BenchError: there is none.
    """
    for number in _REDIS_NUMBERS:
        # The tests take theirs by the same file.
        name = f"chatd-tests-redis-{os.getuid()}-{number}"
        file = Path(tempfile.gettempdir(), name).open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            continue
        if all(_is_empty(_with_path(url, str(number))) for url in urls):
            stack.callback(file.close)
            for url in urls:
                stack.callback(_empty, _with_path(url, str(number)))
            return number
        file.close()
    raise BenchError("the backends: no database 1 to 15 of Redis is empty and free")


def _is_empty(url: str) -> bool:
    try:
        with Redis.from_url(url) as redis:
            return bool(redis.dbsize() == 0)
    except (RedisError, OSError) as error:
        raise BenchError(f"the backends: Redis: {error}") from None


def _empty(url: str) -> None:
    with Redis.from_url(url) as redis:
        redis.flushdb()


def _hosts(settings: Mapping[str, str]) -> Hosts:
    return Hosts(
        [host.strip() for host in settings[CASSANDRA].split(",")],
        settings.get("CHATD_CASSANDRA_USERNAME", ""),
        settings.get("CHATD_CASSANDRA_PASSWORD", ""),
        settings.get("CHATD_CASSANDRA_TLS_CA", ""),
    )


def _with_path(url: str, path: str) -> str:
    return urlsplit(url)._replace(path=f"/{path}").geturl()
