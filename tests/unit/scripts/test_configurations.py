"""What the services are started with, as text: nothing is started here."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from chatd.config import descriptions
from scripts.stack import compose
from scripts.stack.cassandra_node import configuration as cassandra_yaml
from scripts.stack.cassandra_node import tokens
from scripts.stack.kafka_broker import configuration as kafka_properties
from scripts.stack.postgres_server import access
from scripts.stack.postgres_server import configuration as postgres_conf
from scripts.stack.redis_server import configuration as redis_conf
from scripts.stack.registry import NAMES, service
from scripts.stack.service import Instance, Launch
from scripts.stack.settings import CLUSTER_HOSTS, HOST, PORTS, Settings, port_variable

NODE = Instance(Path("/x/node"), HOST, 29042, (27000,))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "with blank", tmp_path / "cache", PORTS)


def lines(text: str) -> set[str]:
    return set(text.splitlines())


def test_postgres_keeps_what_it_committed() -> None:
    text = postgres_conf(NODE, Path("/x"), with_tls=False)
    assert {"fsync = on", "synchronous_commit = on", "max_connections = 200"} <= lines(text)
    assert {"listen_addresses = '127.0.0.1'", "port = 29042"} <= lines(text)
    assert "ssl = on" not in text
    assert "ssl = on" in lines(postgres_conf(NODE, Path("/x"), with_tls=True))


def test_postgres_with_tls_wants_it_and_the_password() -> None:
    assert access(NODE, with_tls=True) == "hostssl all chatd 127.0.0.1/32 scram-sha-256\n"
    assert access(NODE, with_tls=False) == "host all chatd 127.0.0.1/32 trust\n"


def test_redis_of_the_jobs_forgets_nothing_and_the_other_may() -> None:
    jobs = lines(redis_conf(NODE, for_jobs=True, password=""))
    assert {"appendonly yes", "maxmemory-policy noeviction", "port 29042"} <= jobs
    lossy = lines(redis_conf(NODE, for_jobs=False, password=""))
    assert {"appendonly no", 'save ""', "maxmemory-policy volatile-lru"} <= lossy


def test_redis_with_a_password_has_no_plain_port() -> None:
    text = lines(redis_conf(NODE, for_jobs=False, password="secret"))
    assert {"port 0", "tls-port 29042", "requirepass secret"} <= text


@pytest.mark.parametrize("hosts", [(HOST,), CLUSTER_HOSTS])
def test_cassandra_answers_after_the_disk(hosts: tuple[str, ...]) -> None:
    places = set()
    for host in hosts:
        node = Instance(Path("/x/node"), host, 29042, (27000,))
        values: dict[str, Any] = json.loads(cassandra_yaml("name", node, hosts, with_tls=False))
        assert values["commitlog_sync"] == "group"
        assert values["listen_address"] == values["rpc_address"] == host
        assert (values["native_transport_port"], values["storage_port"]) == (29042, 27000)
        assert values["seed_provider"][0]["parameters"] == [{"seeds": ",".join(hosts)}]
        assert "authenticator" not in values and "client_encryption_options" not in values
        places.add(values["initial_token"])
    assert len(places) == len(hosts)


def test_cassandra_with_tls_wants_it_and_the_password() -> None:
    values = json.loads(cassandra_yaml("name", NODE, [HOST], with_tls=True))
    assert values["authenticator"] == "PasswordAuthenticator"
    options = values["client_encryption_options"]
    assert options["enabled"] and not options["optional"]


def test_nodes_stand_evenly_in_the_ring() -> None:
    assert tokens(1) == [-(2**63)]
    assert tokens(2) == [-(2**63), 0]
    first, second, third = tokens(3)
    assert second - first == third - second == 2**64 // 3


def test_kafka_listens_where_it_says() -> None:
    node = Instance(Path("/x"), HOST, 29092, (29093,))
    text = lines(kafka_properties(node))
    assert "advertised.listeners=PLAINTEXT://127.0.0.1:29092" in text
    assert "listeners=PLAINTEXT://127.0.0.1:29092,CONTROLLER://127.0.0.1:29093" in text


@pytest.mark.parametrize("name", NAMES)
def test_to_make_a_service_touches_nothing(name: str, settings: Settings, tmp_path: Path) -> None:
    made = service(name, settings)
    assert made.instances and made.name == name
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_every_process_has_a_folder_of_its_own_and_loopback_ports(
    name: str, settings: Settings
) -> None:
    instances = service(name, settings).instances
    assert len({instance.folder for instance in instances}) == len(instances)
    for instance in instances:
        assert instance.folder.is_relative_to(settings.folder / name)
        assert instance.host.startswith("127.")


@pytest.mark.parametrize("name", NAMES)
def test_chatd_knows_every_variable_that_has_its_prefix(name: str, settings: Settings) -> None:
    """It refuses to start with one that it does not know."""
    variables = service(name, settings).variables()
    assert variables
    known = {f"CHATD_{setting.upper()}" for setting in descriptions()}
    assert {each for each in variables if each.startswith("CHATD_")} <= known
    assert {each for each in variables if not each.startswith("SERVICES_")} <= known


@pytest.mark.parametrize(
    ("name", "variable", "option"),
    [
        ("postgres-tls", "SERVICES_POSTGRES_TLS_URL", "sslrootcert"),
        ("redis-tls", "SERVICES_REDIS_TLS_URL", "ssl_ca_certs"),
    ],
)
def test_a_url_with_a_password_names_the_certificate(
    name: str, variable: str, option: str, settings: Settings
) -> None:
    made = service(name, settings)
    url = made.variables()[variable]
    assert url == made.variables()[variable], "the password is made once"
    parts = urlsplit(url)
    assert parts.password and len(parts.password) == 32 and parts.port == made.port
    (certificate,) = parse_qs(parts.query)[option]
    assert certificate == str(settings.folder / "credentials" / "certificate.pem")


def test_the_password_is_in_a_folder_for_its_owner_alone(settings: Settings) -> None:
    service("redis-tls", settings).variables()
    assert (settings.folder / "credentials").stat().st_mode & 0o777 == 0o700


def changed(launch: Launch) -> list[Callable[[], Launch]]:
    return [
        lambda: Launch((*launch.command, "-x"), launch.home, launch.working_folder, launch.files),
        lambda: Launch(launch.command, launch.home, launch.working_folder, {"a": "c"}),
        lambda: Launch(launch.command, launch.home, launch.home / "b", launch.files),
        lambda: Launch(launch.command, launch.home, launch.working_folder, launch.files, "nobody"),
    ]


def test_a_fingerprint_tells_every_change() -> None:
    def launch() -> Launch:
        return Launch(("run",), Path("/x"), Path("/x"), {"a": "b"})

    marks = {other().fingerprint for other in changed(launch())}
    assert len(marks) == 4
    assert launch().fingerprint == launch().fingerprint not in marks


def test_the_compose_file_has_the_services_that_it_is_asked_for_and_our_ports() -> None:
    text = compose.FILE.read_text()
    assert tuple(re.findall(r"^  ([a-z-]+):$", text, re.MULTILINE)) == compose.NAMES
    assert set(compose.NAMES) <= set(NAMES)
    for name in compose.NAMES:
        assert f"${{{port_variable(name)}:-{PORTS[name]}}}" in text
    published = re.findall(r"^    ports: (.*)$", text, re.MULTILINE)
    assert all(each.startswith('["127.0.0.1:') for each in published)


def test_a_container_belongs_to_one_folder(settings: Settings, tmp_path: Path) -> None:
    other = Settings(tmp_path / "other", settings.cache, PORTS)
    assert compose.project(settings) == compose.project(settings) != compose.project(other)
    assert compose.started(settings) == ()
