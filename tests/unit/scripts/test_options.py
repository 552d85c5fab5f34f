"""scripts.stack.options and settings"""

from collections import Counter
from pathlib import Path

import pytest

from scripts.stack.options import choose_ports, parse
from scripts.stack.registry import DEFAULT_NAMES, NAMES
from scripts.stack.settings import CHECKOUT, CLUSTER_HOSTS, HOST, PORTS, port_variable

STANDARD_PORTS = {5432, 6379, 7000, 7001, 7199, 9042, 9092, 9093, 8474}


def test_up_alone_is_what_chatd_needs_and_the_rest_is_everything() -> None:
    assert parse(["up"], {}).names == DEFAULT_NAMES
    assert parse(["down"], {}).names == parse(["status"], {}).names == NAMES
    assert not parse(["status"], {}).are_named


def test_names_come_once_in_the_order_of_the_table() -> None:
    options = parse(["up", "redis", "postgres", "redis"], {})
    assert options.names == ("postgres", "redis") and options.are_named
    assert parse(["up", "all", "redis"], {}).names == NAMES


@pytest.mark.parametrize(
    "arguments",
    [[], ["up", "mongodb"], ["up", "--port", "redis=0"], ["up", "--port", "6379"], ["restart"]],
)
def test_bad_usage_is_one_line_and_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments, {})
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


def test_the_command_line_goes_over_the_environment_over_the_defaults() -> None:
    environment = {"SERVICES_REDIS_PORT": "1001", "SERVICES_REDIS_QUEUE_PORT": "1002"}
    ports = choose_ports(["redis=1003"], environment)
    assert (ports["redis"], ports["redis-queue"]) == (1003, 1002)
    assert ports["kafka"] == PORTS["kafka"]


@pytest.mark.parametrize("text", ["", "x", "0", "65536", "-1", "1.5", "²"])
def test_what_is_no_port_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="--port kafka"):
        choose_ports([f"kafka={text}"], {})
    if text:
        with pytest.raises(ValueError, match="SERVICES_KAFKA_PORT"):
            choose_ports([], {"SERVICES_KAFKA_PORT": text})


def test_folders() -> None:
    settings = parse(["up"], {"HOME": "/nowhere", "XDG_CACHE_HOME": "/cache"}).settings
    assert settings.folder == CHECKOUT / ".services"
    assert settings.cache == Path("/cache/chatd-services")
    settings = parse(["up"], {"SERVICES_DIR": "/a", "SERVICES_CACHE": "/b"}).settings
    assert (settings.folder, settings.cache) == (Path("/a"), Path("/b"))
    settings = parse(["up", "--dir", "a"], {"SERVICES_DIR": "/b"}).settings
    assert settings.folder == Path.cwd() / "a"


def test_the_folder_is_not_committed() -> None:
    assert ".services/" in (CHECKOUT / ".gitignore").read_text().splitlines()


def test_no_two_services_and_no_standard_port_collide() -> None:
    def hosts(name: str) -> tuple[str, ...]:
        return CLUSTER_HOSTS if name.startswith("cassandra3") else (HOST,)

    taken = Counter((host, port) for name, port in PORTS.items() for host in hosts(name))
    assert set(taken.values()) == {1}
    assert not STANDARD_PORTS & set(PORTS.values())


def test_no_variable_is_one_that_chatd_would_refuse() -> None:
    assert port_variable("redis-queue") == "SERVICES_REDIS_QUEUE_PORT"
    assert not [name for name in PORTS if port_variable(name).startswith("CHATD_")]
