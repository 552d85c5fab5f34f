"""The scenarios of the bench that no other peer has, small; on the backends with as little as
shows that they work."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.options import parse
from bench.peers.chatd_backends import ChatdOnBackends
from bench.scenarios import nodes
from bench.services import Services
from bench.tally import Tally
from tests.support.services import service

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def bench(
    file: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> tuple[str, list[dict[str, Any]]]:
    """What a run that must succeed prints, and its results."""
    command = [sys.executable, "-m", "bench", *arguments, "--json", str(file)]
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout, json.loads(file.read_text())["results"]


def test_some_stall_and_all_end_complete(tmp_path: Path) -> None:
    arguments = ["--members", "30", "--rate", "100", "--seconds", "1.5", "--warm-up", "20"]
    _, (stalled, without) = bench(tmp_path / "json", "stalled", *arguments)
    assert (stalled["variant"], without["variant"]) == ("with stalled readers", "without")
    assert stalled["tally"]["delivered"] == 30 * 150
    assert without["tally"]["delivered"] == 27 * 150
    assert stalled["runs"][0]["series"]["rss_kb"]


def test_all_come_back_at_once(tmp_path: Path) -> None:
    shown, (result,) = bench(tmp_path / "json", "reconnect", "--clients", "20", "--missed", "120")
    figures = result["median"]
    assert figures["missed_per_client"] == 2.5 * 120 + 10
    assert figures["pages_needed"] == 3 * 2 + 20
    assert 0 < figures["reads_per_page"] <= 1
    assert "reconnect: reads per page" in shown


def backends() -> dict[str, str]:
    """What the environment says of the services. They stay on the cores on which they are: others
    use them too."""
    return {
        name: value
        for one in ("postgres", "cassandra", "redis", "redis-queue")
        for name, value in service(one).items()
    }


def test_connections_are_mostly_idle_and_every_conversation_is_complete(tmp_path: Path) -> None:
    arguments = ["--connections", "60", "--busy", "40", "--rate", "100", "--seconds", "1"]
    shown, (result,) = bench(tmp_path / "json", "soak", *arguments, "--warm-up", "20")
    # 6 of 7 conversations are pairs, the last is a group of ten.
    assert result["tally"]["delivered"] == 100 + sum(8 for n in range(20, 120) if n % 7 == 6)
    assert result["median"]["rss_kb_per_connection"] > 0
    assert "6 conversations of two and 1 of 10" in shown


def test_a_soak_on_backends(tmp_path: Path) -> None:
    arguments = ["--connections", "24", "--busy", "100", "--rate", "100", "--seconds", "0.5"]
    shown, (result,) = bench(
        tmp_path / "json",
        *("soak", "--on", "backends", "--leave-services", "--warm-up", "20", *arguments),
        environment=backends(),
    )
    assert result["tally"]["expected"] == result["tally"]["delivered"] > 50
    assert {"postgresql_cpu_percent", "cassandra_cpu_percent"} <= result["median"].keys()
    assert "services anywhere" in shown and "of the environment" in shown


def test_a_group_whose_members_are_on_two_nodes(tmp_path: Path) -> None:
    options = parse(["nodes", "--members", "5", "--messages", "60", "--warm-up", "10"])
    with Services(backends(), None) as services, ChatdOnBackends(tmp_path, None, services) as peer:
        measured = nodes.run_two(peer, options)
        assert len(set(peer.addresses)) == len(set(peer.pids)) == 2
    assert measured.tally == Tally(expected=4 * 60, delivered=4 * 60)
    assert measured.figures["cpu_us_per_delivery"] > 0
