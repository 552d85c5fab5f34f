"""Who is told how ready a node is, and by what."""

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.backends import Backends
from tests.support.loop import run, until
from tests.support.node import Node
from tests.support.proxy import Proxy

LOSSES: Final = {
    "cassandra_hosts": ("cassandra", 200, "degraded"),
    "redis_url": ("redis", 200, "degraded"),
    "queue_redis_url": ("queueRedis", 200, "degraded"),
    "database_url": ("postgresql", 503, "not ready"),
}
"""A setting; what readiness calls it, and what becomes of a node without it."""


def ready(node: Node) -> tuple[int, dict[str, Any]]:
    status, body = node.get("/readyz")
    details: dict[str, Any] = json.loads(body)
    return status, details


def wait_for(word: str, node: Node) -> None:
    run(until(lambda: ready(node)[1]["status"] == word, f"it is {word}"))


def test_embedded_the_database_and_its_durability_are_told(node: Node) -> None:
    status, details = ready(node)
    assert (status, details["status"]) == (200, "ready")
    assert abs(details["timestamp"] - time.time() * 1000) < 60_000
    assert details["roles"] == {"http": True, "chat": True, "presence": True}
    (sqlite,) = details["backends"].values()
    assert sqlite["isUp"] and sqlite["latencyMs"] > 0
    assert sqlite["details"] == {"journalMode": "wal", "synchronous": "FULL"}
    assert node.get("/ready")[0] == 200
    assert json.loads(node.get("/livez")[1])["status"] == "ok"


def test_strangers_are_told_whether_and_no_more(node: Node) -> None:
    # What a proxy on this machine hands on is of the client that it names.
    stranger = {"X-Forwarded-For": "203.0.113.7"}
    status, body = node.get("/readyz", stranger)
    assert status == 200
    assert json.loads(body).keys() == {"status", "timestamp"}
    assert node.get("/metrics", stranger)[0] == 403


def test_networks_that_may_see_metrics_may_see_it_all(tmp_path: Path) -> None:
    with Node(tmp_path, settings={"metrics_allow": "203.0.113.0/24"}) as node:
        _, body = node.get("/readyz", {"X-Forwarded-For": "203.0.113.7"})
        assert "backends" in json.loads(body)
        _, body = node.get("/readyz", {"X-Forwarded-For": "198.51.100.7"})
        assert "backends" not in json.loads(body)


def test_each_backend_is_told_with_its_durability(node_on_backends: Node) -> None:
    status, details = ready(node_on_backends)
    assert (status, details["status"], details["warnings"]) == (200, "ready", [])
    found = details["backends"]
    assert found.keys() == {"postgresql", "cassandra", "redis", "queueRedis"}
    for backend in found.values():
        assert backend["isUp"] and backend["latencyMs"] > 0 and "error" not in backend
    assert found["postgresql"]["details"] == {"fsync": "on", "synchronousCommit": "on"}
    assert set(found["cassandra"]["details"]["commitLog"].values()) == {"group"}
    assert "class" in found["cassandra"]["details"]["replication"]
    assert found["queueRedis"]["details"] == {"maxmemoryPolicy": "noeviction", "appendOnly": True}


def test_one_redis_for_everything_is_warned_of(backends: Backends, tmp_path: Path) -> None:
    settings = {"queue_redis_url": ""}
    with Node(tmp_path, backends=backends, settings=settings) as node:
        status, details = ready(node)
        assert (status, details["status"]) == (200, "ready")
        shared, evicts, forgets = details["warnings"]
        assert "CHATD_QUEUE_REDIS_URL" in shared
        assert "noeviction" in evicts
        assert "appendonly" in forgets
        for warning in details["warnings"]:
            assert warning in node.log, "the log says it at the start too"


@pytest.mark.slow
def test_backends_that_are_lost_and_come_back(backends: Backends, tmp_path: Path) -> None:
    with ExitStack() as stack:
        proxies: dict[str, Proxy] = {}
        for setting in LOSSES:
            value = backends.settings[setting]
            proxy = Proxy.before(value if "://" in value else f"//{value}")
            proxies[setting] = stack.enter_context(proxy)
        settings = {setting: proxy.url.removeprefix("//") for setting, proxy in proxies.items()}
        node = stack.enter_context(Node(tmp_path, backends=backends, settings=settings))
        assert ready(node)[1]["status"] == "ready"
        for setting, (name, status, word) in LOSSES.items():
            proxies[setting].cut()
            wait_for(word, node)
            code, details = ready(node)
            assert code == status
            down = {key for key, backend in details["backends"].items() if not backend["isUp"]}
            assert down == {name}
            assert details["backends"][name]["error"]
            assert node.get("/health")[0] == 200, "the process itself is well"
            proxies[setting].heal()
            wait_for("ready", node)


@pytest.mark.slow
def test_a_backend_that_stalls_does_not_stall_the_answer(
    backends: Backends, tmp_path: Path
) -> None:
    with Proxy.before(backends.settings["database_url"]) as proxy:
        settings = {"database_url": proxy.url}
        with Node(tmp_path, backends=backends, settings=settings) as node:
            assert ready(node)[0] == 200
            proxy.stall()

            def error() -> str:
                reported: str = ready(node)[1]["backends"]["postgresql"].get("error", "")
                return reported

            run(until(lambda: error() == "no answer within 2 s", "it is noticed"))
