"""Backends that want a password and TLS, and those that do not fit: each command names what is
wrong in one line, which shows no password; and with everything right it all works."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import pytest

from chatd.stores.open_cassandra import Hosts
from chatd.stores.session_cassandra import Cassandra
from protocol.pushes import OneToOneChat
from tests.e2e.town import Town, contents, take
from tests.support.backends import SECRET, Backends
from tests.support.commands import Command, Ended, run_all
from tests.support.guarded import (
    WRONG_PASSWORD,
    guarded_cassandra,
    guarded_database,
    guarded_postgres,
    guarded_redis,
    strangers_certificate,
    with_wrong_password,
)
from tests.support.loop import run
from tests.support.node import Node, command, free_ports
from tests.support.proxy import Proxy

pytestmark = pytest.mark.slow

NO_FILE: Final = "/no/such/certificate.pem"
PORTS: Final = ("http_port", "chat_port", "presence_port")
TURNS: Final = 3
PATIENCE_SECONDS: Final = 6.0
"""In which the other backends are to be reached too."""
Settings = dict[str, str]


class World(NamedTuple):
    """What the settings of the cases are made of."""

    stranger: str
    """A file with a certificate that vouches for nobody."""
    newer: Backends
    """Set up by a newer version."""
    silent: dict[str, str]
    """Settings of backends that take connections and say nothing, by name."""


class Case(NamedTuple):
    arguments: list[str]
    settings: Callable[[World], Settings]
    code: int
    words: list[str]
    """What the line must say."""


def vouched_by(url: str, option: str, file: str) -> str:
    return f"{url.partition('?')[0]}?{option}={file}"


def postgres_vouched_by(file: str) -> Settings:
    url = vouched_by(guarded_postgres(), "sslmode=verify-full&sslrootcert", file)
    return {"database_url": url}


def redis_vouched_by(file: str) -> Settings:
    return {"redis_url": vouched_by(guarded_redis(), "ssl_ca_certs", file)}


def wrong_postgres(world: World) -> Settings:
    return {"database_url": with_wrong_password(guarded_postgres())}


def wrong_cassandra(world: World) -> Settings:
    return guarded_cassandra() | {"cassandra_password": WRONG_PASSWORD}


POSTGRES_REFUSES: Final = ["PostgreSQL at 127.0.0.1:", "refuses CHATD_DATABASE_URL", "password"]
CASSANDRA_REFUSES: Final = ["Cassandra at 127.0.0.1:", "CHATD_CASSANDRA_PASSWORD", "incorrect"]
NEWER_POSTGRES: Final = ["the database", "a newer chatd (schema 999_new.sql)"]
NEWER_CASSANDRA: Final = ["the keyspace test_", "a newer chatd (schema 999_new.cql)"]

CASES: Final[dict[str, Case]] = {
    "password of PostgreSQL, serve": Case(["serve"], wrong_postgres, 2, POSTGRES_REFUSES),
    "password of PostgreSQL, migrate": Case(["migrate"], wrong_postgres, 2, POSTGRES_REFUSES),
    "password of PostgreSQL, worker": Case(["worker"], wrong_postgres, 2, POSTGRES_REFUSES),
    "password of Cassandra, serve": Case(["serve"], wrong_cassandra, 2, CASSANDRA_REFUSES),
    "password of Cassandra, migrate": Case(["migrate"], wrong_cassandra, 2, CASSANDRA_REFUSES),
    "no password for Cassandra": Case(
        ["migrate"],
        lambda world: guarded_cassandra() | {"cassandra_username": "", "cassandra_password": ""},
        2,
        ["Cassandra at 127.0.0.1:", "set CHATD_CASSANDRA_USERNAME and CHATD_CASSANDRA_PASSWORD"],
    ),
    "password of Redis, serve": Case(
        ["serve"],
        lambda world: {"redis_url": with_wrong_password(guarded_redis())},
        2,
        ["Redis at 127.0.0.1:", "refuses CHATD_REDIS_URL", "password"],
    ),
    "password of the queue, worker": Case(
        ["worker"],
        lambda world: {"queue_redis_url": with_wrong_password(guarded_redis())},
        2,
        ["Redis at 127.0.0.1:", "refuses CHATD_QUEUE_REDIS_URL", "password"],
    ),
    "certificate of PostgreSQL": Case(
        ["migrate"],
        lambda world: postgres_vouched_by(world.stranger),
        2,
        ["PostgreSQL at 127.0.0.1:", "refuses CHATD_DATABASE_URL", "CERTIFICATE_VERIFY_FAILED"],
    ),
    "certificate of Cassandra": Case(
        ["serve"],
        lambda world: guarded_cassandra() | {"cassandra_tls_ca": world.stranger},
        2,
        ["CHATD_CASSANDRA_TLS_CA does not vouch for Cassandra at 127.0.0.1:"],
    ),
    "certificate of Redis": Case(
        ["serve"],
        lambda world: redis_vouched_by(world.stranger),
        2,
        ["Redis at 127.0.0.1:", "refuses CHATD_REDIS_URL", "CERTIFICATE_VERIFY_FAILED"],
    ),
    "no file for PostgreSQL": Case(
        ["migrate"],
        lambda world: postgres_vouched_by(NO_FILE),
        2,
        ["PostgreSQL at 127.0.0.1:", "refuses CHATD_DATABASE_URL", "No such file"],
    ),
    "no file for Redis": Case(
        ["worker"],
        lambda world: redis_vouched_by(NO_FILE),
        2,
        ["Redis at 127.0.0.1:", "refuses CHATD_REDIS_URL", "No such file"],
    ),
    "no certificate in the file for Redis": Case(
        ["worker"],
        lambda world: redis_vouched_by(__file__),
        2,
        ["Redis at 127.0.0.1:", "refuses CHATD_REDIS_URL"],
    ),
    "no option of Redis, jobs": Case(
        ["jobs", "failed"],
        lambda world: {"queue_redis_url": f"{guarded_redis()}&colour=red"},
        2,
        ["CHATD_QUEUE_REDIS_URL"],
    ),
    "no such keyspace": Case(
        ["serve"],
        lambda world: {"cassandra_keyspace": f"{world.newer.keyspace}_not"},
        2,
        ["no keyspace test_", "run `chatd migrate`"],
    ),
    "newer database, serve": Case(
        ["serve"], lambda world: {"database_url": world.newer.database_url}, 2, NEWER_POSTGRES
    ),
    "newer database, migrate": Case(
        ["migrate"], lambda world: {"database_url": world.newer.database_url}, 2, NEWER_POSTGRES
    ),
    "newer database, worker": Case(
        ["worker"], lambda world: {"database_url": world.newer.database_url}, 2, NEWER_POSTGRES
    ),
    "newer keyspace, serve": Case(
        ["serve"], lambda world: {"cassandra_keyspace": world.newer.keyspace}, 2, NEWER_CASSANDRA
    ),
    "newer keyspace, migrate": Case(
        ["migrate"], lambda world: {"cassandra_keyspace": world.newer.keyspace}, 2, NEWER_CASSANDRA
    ),
    "no address of PostgreSQL": Case(
        ["migrate"],
        lambda world: {"database_url": f"postgresql://x:{WRONG_PASSWORD}@nowhere.invalid/x"},
        1,
        ["PostgreSQL at nowhere.invalid:5432"],
    ),
    "no address of Cassandra": Case(
        ["serve"],
        lambda world: {"cassandra_hosts": "nowhere.invalid:9042"},
        1,
        ["Cassandra at nowhere.invalid:9042"],
    ),
    "no address of Redis": Case(
        ["worker"],
        lambda world: {"redis_url": f"redis://:{WRONG_PASSWORD}@nowhere.invalid/0"},
        1,
        ["Redis at nowhere.invalid:6379"],
    ),
    "silent PostgreSQL": Case(
        ["worker"], lambda world: {"database_url": world.silent["database_url"]}, 1, ["PostgreSQL"]
    ),
    "silent Cassandra": Case(
        ["migrate"],
        lambda world: {"cassandra_hosts": world.silent["cassandra_hosts"]},
        1,
        ["Cassandra at 127.0.0.1:"],
    ),
    "silent Redis": Case(
        ["serve"],
        lambda world: {"redis_url": world.silent["redis_url"]},
        1,
        ["Redis at 127.0.0.1:"],
    ),
}
WAITS: Final = " was not there for "
"""What those say at whose end the time is over."""


async def make_newer(backends: Backends) -> None:
    """As a version that nobody has yet would leave them."""
    await backends.run("CREATE TABLE applied_schema (name text PRIMARY KEY, checksum text)")
    await backends.run("INSERT INTO applied_schema VALUES ('999_new.sql', 'x')")
    cassandra = await Cassandra.connect(Hosts([backends.settings["cassandra_hosts"]]))
    try:
        await cassandra.run(
            f"CREATE KEYSPACE {backends.keyspace} WITH replication ="
            " {'class': 'SimpleStrategy', 'replication_factor': 1}"
        )
        await cassandra.run(
            f"CREATE TABLE {backends.keyspace}.applied_schema"
            " (name text PRIMARY KEY, checksum text, applied_at timestamp)"
        )
        await cassandra.run(
            f"INSERT INTO {backends.keyspace}.applied_schema (name, checksum)"
            " VALUES ('999_new.cql', 'x')"
        )
    finally:
        await cassandra.close()


@pytest.fixture(scope="module")
def world(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    stranger = strangers_certificate(tmp_path_factory.mktemp("stranger"))
    with ExitStack() as stack:
        newer = stack.enter_context(Backends(migrated=False))
        run(make_newer(newer))
        silent: dict[str, str] = {}
        for setting in ("database_url", "cassandra_hosts", "redis_url"):
            value = backends.settings[setting]
            proxy = Proxy.before(value if "://" in value else f"//{value}")
            stack.enter_context(proxy).stall()
            silent[setting] = proxy.url.removeprefix("//")
        yield World(str(stranger), newer, silent)


@pytest.fixture(scope="module")
def results(backends: Backends, world: World) -> dict[str, Ended]:
    """What became of the commands of all cases."""

    def command_of(name: str) -> Command:
        ports = zip(PORTS, map(str, free_ports(len(PORTS))), strict=True)
        settings = backends.settings | dict(ports) | CASES[name].settings(world)
        return Command(CASES[name].arguments, settings)

    def ended(names: list[str]) -> dict[str, Ended]:
        commands = [command_of(name) for name in names]
        found = run_all(commands, seconds=90, patience_seconds=PATIENCE_SECONDS)
        return dict(zip(names, found, strict=True))

    # Those that wait do it side by side.
    turns = [list(CASES)[turn::TURNS] for turn in range(TURNS)]
    with ThreadPoolExecutor(TURNS) as pool:
        return {name: one for found in pool.map(ended, turns) for name, one in found.items()}


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_named(name: str, results: dict[str, Ended]) -> None:
    case, (code, stdout, stderr) = CASES[name], results[name]
    assert stdout == ""
    (line,) = stderr.splitlines()
    assert line.startswith("chatd: ") and code == case.code, line
    for word in case.words:
        assert word in line
    assert WRONG_PASSWORD not in line
    for url in (guarded_postgres(), guarded_redis()):
        password = urlsplit(url).password
        assert password is not None and password not in line
    assert (WAITS in line) == (case.code == 1)


def test_with_the_right_ones_it_all_works(tmp_path: Path) -> None:
    redis = urlsplit(guarded_redis())
    with guarded_database() as database, Backends(migrated=False) as names:
        settings = guarded_cassandra() | {
            "database_url": database,
            "cassandra_keyspace": names.keyspace,
            "redis_url": redis._replace(path=urlsplit(names.settings["redis_url"]).path).geturl(),
            "queue_redis_url": names.settings["queue_redis_url"],
            "jwt_secret": SECRET,
        }
        try:
            done = command(["migrate"], settings, seconds=60)
            assert done.returncode == 0, done.stderr
            with Node(tmp_path, settings=settings) as node:
                run(chat(node), seconds=60)
                assert node.stop() == 0
                assert node.complaints == []
                assert redis.password is not None and redis.password not in node.log
        finally:
            run(drop(names.keyspace), seconds=60)


async def chat(node: Node) -> None:
    async with Town(node) as town:
        ann, ben = await town.settle_all("ann", "ben")
        writer = await town.connect(ann)
        await writer.send_direct(ben.name, "one")
        reader = await town.connect(ben)
        assert contents(await take(reader, OneToOneChat, 1)) == ["one"]
        page = await reader.history_direct(ann.name)
        assert [message.content for message in page.messages] == ["one"]


async def drop(keyspace: str) -> None:
    found = guarded_cassandra()
    hosts = Hosts(
        found["cassandra_hosts"].split(","),
        found["cassandra_username"],
        found["cassandra_password"],
        found["cassandra_tls_ca"],
    )
    cassandra = await Cassandra.connect(hosts)
    try:
        await cassandra.run(f"DROP KEYSPACE IF EXISTS {keyspace}")
    finally:
        await cassandra.close()
