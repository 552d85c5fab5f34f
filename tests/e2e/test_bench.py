"""The scenarios of the bench that take a server which resumes, small."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def bench(file: Path, *arguments: str) -> tuple[str, list[dict[str, Any]]]:
    """What a run that must succeed prints, and its results."""
    command = [sys.executable, "-m", "bench", *arguments, "--json", str(file)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
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
