"""scripts.stack.cli: what it prints, and its exit codes"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.stack.cli import (
    as_json,
    exit_code_of_up,
    failure_line,
    merged_variables,
    shell_lines,
    status_lines,
)
from scripts.stack.registry import service
from scripts.stack.settings import CHECKOUT, PORTS, Settings
from scripts.stack.up_and_down import Report, State

PROGRAM = CHECKOUT / "scripts" / "services"
UP = Report("redis", State.UP, ("127.0.0.1:1",), (12,), "7.0")
DOWN = Report("kafka", State.DOWN, ("127.0.0.1:22",))
FAILED = Report("kafka", State.FAILED, ("127.0.0.1:22",), reason="has\nended")
ABSENT = Report("toxiproxy", State.UNAVAILABLE, (), reason="needs Go")


def test_lines_are_what_a_shell_reads() -> None:
    variables = {"PLAIN": "redis://127.0.0.1:1/0", "ODD": "a?b&c=$d 'e'", "EMPTY": ""}
    script = "\n".join([*shell_lines(variables), 'printf "%s\\n" "$PLAIN" "$ODD" "$EMPTY"'])
    read = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert read.stdout.splitlines() == [variables["PLAIN"], variables["ODD"], ""]
    assert shell_lines(variables)[2] == "PLAIN=redis://127.0.0.1:1/0"


def test_status_is_one_line_for_each() -> None:
    assert status_lines([UP, DOWN]) == [
        "redis  up    127.0.0.1:1   12  7.0",
        "kafka  down  127.0.0.1:22  -   -",
    ]


def test_a_failure_is_one_line_that_names_the_service() -> None:
    assert failure_line(FAILED) == "kafka is not up: has ended"
    assert failure_line(ABSENT) == "toxiproxy cannot be had here: needs Go"
    assert failure_line(DOWN) == "kafka is not up: down"


def test_exit_codes_tell_what_failed_from_what_cannot_be_had() -> None:
    assert exit_code_of_up([UP]) == 0
    assert exit_code_of_up([UP, ABSENT]) == 3
    assert exit_code_of_up([UP, ABSENT, FAILED]) == 1
    assert exit_code_of_up([UP, DOWN]) == 1


def test_json_has_the_environment_and_the_services() -> None:
    values = json.loads(as_json([UP], {"A": "b"}))
    assert values["environment"] == {"A": "b"}
    assert values["services"] == [
        {
            "name": "redis",
            "state": "up",
            "addresses": ["127.0.0.1:1"],
            "pids": [12],
            "version": "7.0",
            "reason": "",
        }
    ]


def test_the_plain_service_gives_the_variable_that_two_would_set(tmp_path: Path) -> None:
    settings = Settings(tmp_path, tmp_path, PORTS)
    services = [service(name, settings) for name in ("cassandra", "cassandra3")]
    single, cluster = [Report(one.name, State.UP, ()) for one in services]
    gone = Report("cassandra", State.DOWN, ())
    three = "127.0.0.2:29042,127.0.0.3:29042,127.0.0.4:29042"
    assert merged_variables(services, [single, cluster]) == {
        "CHATD_CASSANDRA_HOSTS": "127.0.0.1:29042",
        "SERVICES_CASSANDRA3_HOSTS": three,
    }
    assert merged_variables(services, [gone, cluster])["CHATD_CASSANDRA_HOSTS"] == three
    assert merged_variables(services[:1], [gone]) == {}


@pytest.mark.slow
def test_the_program_runs_from_anywhere_and_status_touches_nothing(tmp_path: Path) -> None:
    assert os.access(PROGRAM, os.X_OK)
    command = [sys.executable, str(PROGRAM), "status", "--dir", "none", "--cache", "none"]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert {line.split()[1] for line in shown.stdout.splitlines()} == {"down"}
    named = subprocess.run([*command, "redis"], cwd=tmp_path, capture_output=True, check=False)
    assert named.returncode == 1
    assert not list(tmp_path.iterdir())
