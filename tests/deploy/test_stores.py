"""What docker-compose.yml tells the stores is what they understand: the same programs are asked."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
import redis

from scripts.stack import debian
from scripts.stack.cassandra_node import CassandraCluster
from scripts.stack.errors import ServiceError
from scripts.stack.options import parse
from scripts.stack.settings import Settings
from tests.deploy import stack
from tests.deploy.programs import from_debian
from tests.support.node import free_ports

SERVICES = stack.services()
START_SECONDS: Final = 20.0
CASSANDRA_SECONDS: Final = 60
_POLL_SECONDS: Final = 0.02
# The lines of the image's cassandra.yaml that the environment has to win against.
OF_THE_IMAGE: Final = {"commitlog_sync": "periodic", "commitlog_sync_period": "10000ms"}
CHECKED: Final = "DiskAccessMode"
"""Begins what Cassandra logs after it has found its configuration good."""
_LOGGING: Final = """\
<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="out"/></root>
</configuration>
"""

pytestmark = pytest.mark.slow


@contextmanager
def started(name: str, folder: Path, end: signal.Signals) -> Iterator[redis.Redis]:
    """The Redis of this name with its command line, on another port and in this folder; it is sent
    the signal when it is left."""
    (port,) = free_ports(1)
    program, *arguments = SERVICES[name]["command"]
    assert program == "redis-server"
    arguments += ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    process = subprocess.Popen(
        [from_debian("redis-server", "redis-server"), *arguments], stdout=subprocess.DEVNULL
    )
    try:
        with redis.Redis(port=port, decode_responses=True) as client:
            deadline = time.monotonic() + START_SECONDS
            while not answers(client):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(_POLL_SECONDS)
            yield client
        process.send_signal(end)
        process.wait(START_SECONDS)
    finally:
        process.kill()
        process.wait()


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_the_redis_for_what_may_be_lost_keeps_nothing_and_gives_way(tmp_path: Path) -> None:
    with started("redis", tmp_path, signal.SIGTERM) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "volatile-lru"}
        assert 0 < maxmemory(client) <= memory("redis") // 2
        client.set("key", "value")
    assert not list(tmp_path.iterdir())


def test_the_redis_of_the_jobs_keeps_them_over_a_kill(tmp_path: Path) -> None:
    with started("redis-queue", tmp_path, signal.SIGKILL) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert 0 < maxmemory(client) <= memory("redis-queue") // 2
        client.set("key", "value")
    with started("redis-queue", tmp_path, signal.SIGKILL) as client:
        assert client.get("key") == "value"
    ((_, target),) = stack.mounted(SERVICES["redis-queue"])
    assert target == "/data"


def maxmemory(client: redis.Redis) -> int:
    return int(str(client.config_get("maxmemory")["maxmemory"]))


def memory(name: str) -> int:
    return stack.size(SERVICES[name]["deploy"]["resources"]["limits"]["memory"])


def test_cassandra_answers_when_it_is_on_the_disk(tmp_path: Path) -> None:
    environment = stack.environment(SERVICES["cassandra"])
    settings, output = configuration(tmp_path, environment["JVM_EXTRA_OPTS"].split())
    assert CHECKED in output, output
    assert settings["commitlog_sync"] == "group"
    assert settings["commitlog_sync_group_window"] == "10ms"


def test_cassandra_alone_would_answer_before(tmp_path: Path) -> None:
    settings, output = configuration(tmp_path, [])
    assert CHECKED in output, output
    assert settings["commitlog_sync"] == "periodic"


def test_cassandras_memory_is_enough_for_its_heap() -> None:
    environment = stack.environment(SERVICES["cassandra"])
    assert memory("cassandra") >= 2 * stack.size(environment["MAX_HEAP_SIZE"])


def configuration(folder: Path, options: list[str]) -> tuple[dict[str, str], str]:
    """What Cassandra makes of the image's file and these options, and all that it said until it had
    checked it."""
    cluster = CassandraCluster("cassandra", cassandra_settings(folder))
    try:
        missing = cluster.missing_packages()
        if missing and debian.can_install():
            debian.install(missing)
        cluster.install()
    except ServiceError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"Cassandra cannot be had: {error}")
        pytest.skip(f"Cassandra cannot be had: {error}")
    (instance,) = cluster.instances
    launch = cluster.launch(instance)
    launch.home.mkdir()
    cluster.prepare(instance, launch)
    values = json.loads(launch.files["cassandra.yaml"]) | OF_THE_IMAGE
    del values["commitlog_sync_group_window"]
    (launch.home / "cassandra.yaml").write_text(json.dumps(values))
    (launch.home / "logback.xml").write_text(_LOGGING)
    program, *arguments = launch.command
    process = subprocess.Popen(
        [program, *options, *arguments],
        cwd=launch.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watch = threading.Timer(CASSANDRA_SECONDS, process.kill)
    watch.start()
    output = ""
    assert process.stdout is not None
    try:
        for line in process.stdout:
            output += line
            if line.startswith(CHECKED):
                break
    finally:
        watch.cancel()
        process.kill()
        process.communicate()
    (said,) = [line for line in output.splitlines() if line.startswith("Node configuration:")]
    pairs = said.partition("[")[2].rstrip("]").split("; ")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair), output


def cassandra_settings(folder: Path) -> Settings:
    return parse(["up", "--dir", str(folder)], os.environ).settings
