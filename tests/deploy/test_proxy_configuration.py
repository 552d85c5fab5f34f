"""deploy/haproxy.cfg agrees with docker-compose.yml and with chatd, and HAProxy takes it."""

import subprocess

import pytest

from chatd import config
from chatd.services.presence import PING_SECONDS, PONG_SECONDS
from tests.deploy import haproxy, stack
from tests.deploy.haproxy import Configuration, Server
from tests.deploy.programs import from_debian

FILE = haproxy.read()
SERVICES = stack.services()
OURS = stack.of_chatd()
ROLES = ("http", "chat", "presence")


def setting(line: str) -> str:
    """The rest of the one line that begins so."""
    (found,) = [
        text.strip().removeprefix(line).strip()
        for text in FILE.text.splitlines()
        if text.strip().startswith(f"{line} ")
    ]
    return found


def port_of(role: str, server: Server) -> int:
    """Where the service of this name has the role."""
    settings = config.load(None, stack.settings(OURS[server.host]), {})
    port: int = getattr(settings, f"{role}_port")
    return port


@pytest.mark.slow
def test_haproxy_finds_nothing_wrong() -> None:
    run = subprocess.run(
        [from_debian("haproxy", "haproxy"), "-c", "-f", haproxy.FILE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    complaints = [line for line in run.stderr.splitlines() if "[WARNING]" in line]
    assert all("could not resolve address" in line for line in complaints), complaints


def test_there_is_a_door_for_each_role_on_its_standard_port() -> None:
    defaults = config.Config()
    assert {name: door.port for name, door in FILE.doors.items()} == {
        role: getattr(defaults, f"{role}_port") for role in ROLES
    }
    assert FILE.backends.keys() == FILE.doors.keys()


@pytest.mark.parametrize("role", ROLES)
def test_the_servers_are_the_services_that_have_the_role(role: str) -> None:
    servers = FILE.backends[role]
    assert all(server.name == server.host for server in servers)
    having = {
        name
        for name, service in OURS.items()
        if service["command"][0] == "serve" and role in service["command"][2].split(",")
    }
    assert {server.host for server in servers} == having
    for server in servers:
        assert server.port == port_of(role, server)
        shared = set(SERVICES["proxy"]["networks"]) & set(OURS[server.host]["networks"])
        assert shared, "the proxy cannot reach it"
        assert server.host in SERVICES["proxy"]["depends_on"]


@pytest.mark.parametrize("role", ROLES)
def test_health_is_asked_where_it_is_answered(role: str) -> None:
    for server in FILE.backends[role]:
        service = OURS[server.host]
        settings = config.load(None, stack.settings(service), {})
        answering = {settings.own_http_port}
        if "http" in service["command"][2].split(","):
            answering.add(settings.http_port)
        assert FILE.check_port in answering


def test_the_published_ports_are_the_doors() -> None:
    published = [text.rsplit(":", 2)[1:] for text in SERVICES["proxy"]["ports"]]
    assert sorted(published) == sorted(
        [str(door.port), str(door.port)] for door in FILE.doors.values()
    )


def test_the_container_gets_this_file_and_asks_its_health() -> None:
    ((source, target),) = stack.mounted(SERVICES["proxy"])
    assert stack.file_of(source) == haproxy.FILE
    assert target == "/usr/local/etc/haproxy/haproxy.cfg"
    url = SERVICES["proxy"]["healthcheck"]["test"][-1]
    assert url == f"http://{FILE.health.host}:{FILE.health.port}/"
    assert FILE.health.host == "127.0.0.1"


def test_the_container_may_open_the_files_that_the_connections_need() -> None:
    assert SERVICES["proxy"]["ulimits"]["nofile"] > 2 * int(setting("maxconn")) + 100


def test_idle_sockets_are_left_to_the_servers_pings() -> None:
    hours = setting("timeout tunnel")
    assert hours.endswith("h") and int(hours[:-1]) * 3600 > 10 * (PING_SECONDS + PONG_SECONDS)


def test_the_fewest_connections_decide() -> None:
    assert setting("balance") == "leastconn"


def test_the_configuration_of_the_tests_differs_in_addresses_alone() -> None:
    places = {
        (backend, server.name): haproxy.Place(1, 2)
        for backend, servers in FILE.backends.items()
        for server in servers
    }
    doors = {name: 3 for name in FILE.doors}
    rendered = FILE.rendered(doors, 4, places).splitlines()
    original = FILE.text.splitlines()
    assert len(rendered) == len(original)
    changed = [
        (before.split()[0], after.split()[0])
        for before, after in zip(original, rendered, strict=True)
        if before != after
    ]
    assert sorted(changed) == sorted(
        [("bind", "bind")] * 4
        + [("server", "server")] * 5
        + [("maxconn", "maxconn"), ("default-server", "default-server")]
    )
    with pytest.raises(KeyError):
        Configuration(FILE.text).rendered(doors, 4, {})
