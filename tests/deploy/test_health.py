"""deploy/health.py: what it says of a process is what is so, whatever the process is for."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import redis
import rq

from chatd import config
from chatd.app import ROLES
from tests.deploy.dockerfile import ROOT
from tests.support.node import Node, free_ports
from tests.support.services import service

SCRIPT = ROOT / "deploy" / "health.py"
QUEUE_DATABASE = 11
"""Of the Redis that the tests share."""


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("health", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


health = load()


def check(process: int, settings: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    environment = {f"CHATD_{name.upper()}": value for name, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-I", SCRIPT, str(process)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_server_is_well_while_it_answers(tmp_path: Path) -> None:
    with Node(tmp_path) as node:
        process = node.pid
        well = check(process, node.settings)
        assert (well.returncode, well.stderr) == (0, "")
        (nobody,) = free_ports(1)
        elsewhere = check(process, node.settings | {"http_port": str(nobody)})
        assert elsewhere.returncode == 1
        assert elsewhere.stderr.startswith(f"port {nobody} does not answer: ")
    gone = check(process, node.settings)
    assert gone.returncode == 1
    assert gone.stderr == f"process {process} cannot be seen: No such file or directory\n"


def test_another_program_is_not_taken_for_chatd() -> None:
    run = check(os.getpid(), {})
    assert run.returncode == 1
    assert run.stderr.startswith(f"process {os.getpid()} is not chatd: ")


@pytest.mark.parametrize("roles", ["chat", "presence", "chat,presence"])
def test_without_http_the_sockets_are_asked(node: Node, roles: str) -> None:
    environment = {f"CHATD_{name.upper()}": value for name, value in node.settings.items()}
    environment["CHATD_HTTP_PORT"] = "1"
    health.check(["serve", "--role", roles], environment)
    last = roles.split(",")[-1]
    (nobody,) = free_ports(1)
    environment[f"CHATD_{last.upper()}_PORT"] = str(nobody)
    with pytest.raises(health.Unwell, match=f"port {nobody} does not answer"):
        health.check(["serve", "--role", roles], environment)


def test_a_port_of_its_own_is_asked_first(node: Node) -> None:
    environment = {"CHATD_HTTP_PORT": "1", "CHATD_OWN_HTTP_PORT": str(node.http_port)}
    health.check(["serve"], environment)
    health.check(["serve", "--role", "presence"], environment)


@pytest.mark.parametrize("command", ["migrate", "token"])
def test_commands_that_end_are_well_as_long_as_they_run(command: str) -> None:
    health.check([command, "--http-port", "1"], {})


def test_settings_are_found_where_chatd_finds_them(tmp_path: Path) -> None:
    file = tmp_path / "chatd.toml"
    file.write_text('host = "::"\nhttp_port = 3001\nchat_port = 4001\n')
    environment = {"CHATD_CHAT_PORT": "4002", "CHATD_PRESENCE_PORT": "4003"}
    arguments = ["serve", "--config", str(file), "--role=chat", "--presence-port", "4004"]
    settings = health.Settings(arguments, environment)
    loaded = config.load(file, environment, {"presence_port": "4004"})
    for name in ("http_port", "chat_port", "presence_port"):
        assert settings.port(name) == getattr(loaded, name)
    assert settings.text("role") == "chat"
    assert settings.host == "127.0.0.1", "who listens everywhere listens here too"


def test_defaults_are_those_of_chatd() -> None:
    defaults = config.Config()
    settings = health.Settings(["serve"], {})
    assert settings.text("role").split(",") == list(ROLES)
    for name in health._DEFAULTS.keys() - {"role"}:
        assert settings.text(name) == str(getattr(defaults, name))


@pytest.fixture
def queue() -> Iterator[str]:
    url = service("redis-queue")["CHATD_QUEUE_REDIS_URL"]
    yield f"{url.rpartition('/')[0]}/{QUEUE_DATABASE}"


@pytest.mark.slow
def test_a_worker_is_well_while_it_is_in_touch_with_the_queue(queue: str) -> None:
    settings = {"CHATD_REDIS_URL": "redis://127.0.0.1:1/0", "CHATD_QUEUE_REDIS_URL": queue}
    with redis.Redis.from_url(queue) as connection:
        worker: Any = rq.Worker(["health"], connection=connection)
        with pytest.raises(health.Unwell, match="no worker of this machine"):
            health.check(["worker"], settings)
        worker.register_birth()
        health.check(["worker"], settings)
        worker.register_death()
        with pytest.raises(health.Unwell, match="no worker of this machine"):
            health.check(["worker"], settings)
        connection.delete(worker.key)


def test_a_worker_without_its_queue_is_not_well() -> None:
    (nobody,) = free_ports(1)
    with pytest.raises(health.Unwell, match="the queue cannot be asked"):
        health.check(["worker"], {"CHATD_REDIS_URL": f"redis://127.0.0.1:{nobody}/0"})
