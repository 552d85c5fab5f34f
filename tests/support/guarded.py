"""Services that want a password and TLS, and credentials that they do not take."""

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import asyncpg

from tests.support import loop
from tests.support.services import service

WRONG_PASSWORD: Final = "a-password-that-no-line-may-show"


def guarded_postgres() -> str:
    """The URL of the database that is always there."""
    return service("postgres-tls")["SERVICES_POSTGRES_TLS_URL"]


def guarded_redis() -> str:
    return service("redis-tls")["CHATD_REDIS_URL"]


def guarded_cassandra() -> dict[str, str]:
    """The settings that are about it."""
    found = service("cassandra-tls")
    return {
        "cassandra_hosts": found["SERVICES_CASSANDRA_TLS_HOSTS"],
        "cassandra_username": found["SERVICES_CASSANDRA_TLS_USER"],
        "cassandra_password": found["SERVICES_CASSANDRA_TLS_PASSWORD"],
        "cassandra_tls_ca": found["SERVICES_CASSANDRA_TLS_CERTIFICATE"],
    }


@contextmanager
def guarded_database() -> Iterator[str]:
    """The URL of a new, empty database, dropped at the end."""
    server, name = guarded_postgres(), f"test_{uuid.uuid4().hex[:12]}"

    async def run(statement: str) -> None:
        connection = await asyncpg.connect(server)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    loop.run(run(f"CREATE DATABASE {name}"))
    try:
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
    finally:
        loop.run(run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


def with_wrong_password(url: str) -> str:
    parts = urlsplit(url)
    user, place = parts.username or "", parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{user}:{WRONG_PASSWORD}@{place}").geturl()


def strangers_certificate(folder: Path) -> Path:
    """The certificate of somebody who has nothing to do with it."""
    key, certificate = folder / "stranger.key", folder / "stranger.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x"
    subprocess.run(
        [*command.split(), "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    return certificate
