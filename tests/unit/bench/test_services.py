"""Which services a run stands on, by the environment, and where they are moved to."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.errors import BenchError
from bench.services import Place, Services, places

NAMED = {
    "CHATD_DATABASE_URL": "postgresql://user@10.0.0.1/chat",
    "CHATD_CASSANDRA_HOSTS": "10.0.0.2:9042, 10.0.0.3:9043",
    "CHATD_REDIS_URL": "redis://10.0.0.4/0",
}
_LISTEN = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
sys.stdin.read()
"""


@contextmanager
def listener() -> Iterator[tuple[int, int]]:
    """A process that listens: its number and its port."""
    process = subprocess.Popen(
        [sys.executable, "-c", _LISTEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())


def test_where_services_are() -> None:
    assert places(NAMED) == [
        Place("postgresql", "10.0.0.1", 5432),
        Place("cassandra", "10.0.0.2", 9042),
        Place("cassandra", "10.0.0.3", 9043),
        Place("redis", "10.0.0.4", 6379),
    ]
    queue = NAMED | {"CHATD_QUEUE_REDIS_URL": "redis://[::1]:6380/3"}
    assert places(queue)[-1] == Place("queue_redis", "::1", 6380)


@pytest.mark.parametrize("url", ["nothing", "postgresql://h:x/chat", "postgresql:///chat"])
def test_a_variable_that_names_no_place(url: str) -> None:
    with pytest.raises(BenchError, match="postgresql: the environment names no host and port"):
        places(NAMED | {"CHATD_DATABASE_URL": url})


@pytest.mark.parametrize("missing", NAMED)
def test_some_backends_are_not_enough(missing: str) -> None:
    some = {name: value for name, value in NAMED.items() if name != missing}
    with pytest.raises(BenchError, match=f"set {missing} too"):
        Services(some, None)


def test_nothing_else_of_the_environment_is_taken() -> None:
    services = Services(NAMED | {"CHATD_HTTP_PORT": "1", "HOME": "/", "CHATD_JWT_SECRET": "x"}, [1])
    assert services.settings == NAMED
    assert services.origin == "of the environment"


def test_services_of_other_machines_stay_where_they_are_and_it_is_said() -> None:
    with Services(NAMED, [0]) as services:
        assert services.pids == {}
        assert len(services.notes) == 4
        assert services.notes[0].startswith("postgresql at 10.0.0.1:5432 is no process of this")


@pytest.mark.slow
def test_services_of_this_machine_are_moved_and_put_back() -> None:
    with listener() as (pid, port):
        environment = {
            "CHATD_DATABASE_URL": f"postgresql://127.0.0.1:{port}/chat",
            "CHATD_CASSANDRA_HOSTS": f"127.0.0.1:{port}",
            "CHATD_REDIS_URL": f"redis://localhost:{port}/0",
        }
        before = os.sched_getaffinity(pid)
        core = max(before)
        with Services(environment, [core]) as services:
            assert services.pids == {"postgresql": [pid], "cassandra": [pid], "redis": [pid]}
            assert services.notes == []
            assert os.sched_getaffinity(pid) == {core}
        assert os.sched_getaffinity(pid) == before
        with Services(environment, None):
            assert os.sched_getaffinity(pid) == before
