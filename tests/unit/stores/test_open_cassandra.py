"""chatd.stores.open_cassandra: what a refusal means, with and without TLS and a password."""

import asyncio
import socket
import subprocess
import uuid
from pathlib import Path
from typing import Final

import pytest

from chatd.errors import BackendError, StartError
from chatd.stores.message_store_cassandra import CassandraMessageStore
from chatd.stores.migrate_cassandra import commit_log_modes, migrate
from chatd.stores.open_cassandra import Hosts
from chatd.stores.session_cassandra import Cassandra
from tests.support import loop
from tests.support.proxy import Proxy
from tests.support.puts import Talk, became
from tests.support.running import on_a_loop, until
from tests.support.services import service

MODULE: Final = "chatd.stores.open_cassandra"


def plain() -> Hosts:
    return Hosts(service("cassandra")["CHATD_CASSANDRA_HOSTS"].split(","))


def guarded() -> Hosts:
    """With TLS and a password."""
    found = service("cassandra-tls")
    return Hosts(
        found["SERVICES_CASSANDRA_TLS_HOSTS"].split(","),
        found["SERVICES_CASSANDRA_TLS_USER"],
        found["SERVICES_CASSANDRA_TLS_PASSWORD"],
        found["SERVICES_CASSANDRA_TLS_CERTIFICATE"],
    )


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """The certificate of somebody who has nothing to do with it."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x"
    subprocess.run(
        [*command.split(), "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    return certificate


async def refusal(hosts: Hosts, kind: type[Exception]) -> str:
    with pytest.raises(kind) as refused:
        await Cassandra.connect(hosts)
    text = str(refused.value)
    assert "\n" not in text
    return text


@pytest.mark.slow
def test_with_tls_and_a_password() -> None:
    # A server that has just started takes long for its first tables.
    loop.run(_put_and_read(guarded()), seconds=60)


async def _put_and_read(hosts: Hosts) -> None:
    talk, name = Talk(is_direct=True), f"test_{uuid.uuid4().hex[:12]}"
    at = talk.post("secret")
    talk.edit(at)
    talk.delete(at)
    session = await Cassandra.connect(hosts)
    try:
        await migrate(session, name)
        store = await CassandraMessageStore.prepare(session)
        await store.put(talk.puts)
        found = await store.read(talk.conversation_id, after=0, before=9, limit=9)
        assert found == became(talk.puts)[0]
        assert set(await commit_log_modes(session)) == set(hosts.addresses)
    finally:
        await session.run(f"DROP KEYSPACE IF EXISTS {name}")
        await session.close()


@pytest.mark.slow
@on_a_loop
async def test_a_wrong_password_is_named() -> None:
    hosts = guarded()
    text = await refusal(hosts._replace(password="wrong"), StartError)
    assert text.startswith(f"Cassandra at {hosts.addresses[0]} refuses CHATD_CASSANDRA_USERNAME")
    assert "CHATD_CASSANDRA_PASSWORD" in text and "wrong" not in text
    text = await refusal(hosts._replace(username="nobody"), StartError)
    assert "nobody" in text


@pytest.mark.slow
@on_a_loop
async def test_a_missing_password_is_named() -> None:
    text = await refusal(guarded()._replace(username="", password=""), StartError)
    assert "wants a user: set CHATD_CASSANDRA_USERNAME and CHATD_CASSANDRA_PASSWORD" in text


@pytest.mark.slow
@on_a_loop
async def test_a_certificate_of_somebody_else_is_named(stranger: Path) -> None:
    text = await refusal(guarded()._replace(tls_ca=str(stranger)), StartError)
    assert text.startswith("CHATD_CASSANDRA_TLS_CA does not vouch for Cassandra at ")


@on_a_loop
async def test_a_user_where_none_is_wanted_is_let_in() -> None:
    session = await Cassandra.connect(plain()._replace(username="x", password="y"))
    await session.close()


@on_a_loop
async def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    missing, empty = tmp_path / "missing.pem", tmp_path / "empty.pem"
    empty.write_text("nothing")
    for file in (missing, empty):
        text = await refusal(plain()._replace(tls_ca=str(file)), StartError)
        assert text.startswith(f"bad value of CHATD_CASSANDRA_TLS_CA: {file}: ")


@on_a_loop
async def test_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    text = await refusal(Hosts([f"127.0.0.1:{port}"]), BackendError)
    assert text.startswith(f"Cassandra at 127.0.0.1:{port}: ") and "refused" in text


@on_a_loop
async def test_a_name_without_an_address() -> None:
    text = await refusal(Hosts(["nowhere.invalid:9042"]), BackendError)
    assert text == "Cassandra at nowhere.invalid:9042: the name has no address"


@on_a_loop
async def test_any_of_several_hosts_will_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    session = await Cassandra.connect(Hosts([f"127.0.0.1:{port}", *plain().addresses]))
    assert await session.run("SELECT key FROM system.local") == [("local",)]
    await session.close()


@on_a_loop
async def test_nobody_waits_for_a_server_that_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(f"{MODULE}._CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        await refusal(Hosts([f"127.0.0.1:{port}"]), BackendError)


@pytest.mark.slow
@on_a_loop
async def test_who_stops_waiting_leaves_no_connection() -> None:
    host, _, port = plain().addresses[0].rpartition(":")
    with Proxy(host, int(port)) as proxy:
        proxy.stall_replies()
        connecting = asyncio.ensure_future(Cassandra.connect(Hosts([f"127.0.0.1:{proxy.port}"])))
        await until(lambda: proxy.connections > 0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        proxy.heal()
        await until(lambda: proxy.accepted > 1 and proxy.connections == 0)
