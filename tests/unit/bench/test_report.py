import json
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.report import Result, scenario_table, write_json
from bench.scenarios import Measured
from bench.tally import Tally

CLEAN = Tally(expected=10, delivered=10)


def result(
    scenario: str,
    figure: str,
    values: list[float],
    tally: Tally | None = CLEAN,
    peer: str = "chatd",
    variant: str = "",
) -> Result:
    runs = [Measured({figure: value}, tally) for value in values]
    return Result(scenario, f"a {scenario}", peer, "how it runs", runs, variant)


def row(table: str, label: str) -> list[str]:
    (line,) = (line for line in table.splitlines() if line.startswith(label + "  "))
    return line[len(label) :].split()


def test_one_peer() -> None:
    table = scenario_table([result("group", "cpu_us_per_delivery", [2.456])])
    assert row(table, "server CPU per delivery") == ["2.46", "us"]
    assert row(table, "delivered") == ["10"]
    assert "chatd / " not in table


def test_two_peers_have_a_ratio() -> None:
    table = scenario_table(
        [
            result("group", "cpu_us_per_delivery", [2.0]),
            result("group", "cpu_us_per_delivery", [4.0], peer="centrifuge"),
        ]
    )
    assert "chatd / centrifuge" in table
    assert row(table, "server CPU per delivery") == ["2.00", "us", "4.00", "us", "0.50"]


def test_a_ratio_to_nothing_is_none() -> None:
    ours, theirs = (
        result("connections", "idle_cpu_percent", [v], None, peer)
        for v, peer in ((1, "a"), (0, "b"))
    )
    assert row(scenario_table([ours, theirs]), "server CPU while idle")[-1] == "-"


def test_repeats_show_median_and_spread() -> None:
    table = scenario_table([result("group", "cpu_us_per_delivery", [3.0, 1.0, 2.0])])
    assert "median of 3 runs" in table
    assert row(table, "server CPU per delivery") == ["2.00", "us", "(1.00", "to", "3.00)"]
    assert row(table, "expected") == ["30"]


def test_variants_have_the_difference_of_each_turn_too() -> None:
    table = scenario_table(
        [
            result("stalled", "latency_p99_ms", [30.0, 20.0, 40.0], variant="with"),
            result("stalled", "latency_p99_ms", [25.0, 16.0, 10.0], variant="without"),
        ]
    )
    assert table.count("chatd: how it runs") == 1
    assert table.splitlines()[3].split() == ["with", "without", "ratio", "difference"]
    assert " ".join(row(table, "send to receive P99")) == (
        "30.00 ms (20.00 to 40.00) 16.00 ms (10.00 to 25.00) 1.88 5.00 ms (4.00 to 30.00)"
    )


def test_a_figure_that_one_variant_does_not_have() -> None:
    table = scenario_table(
        [
            result("stalled", "came_back", [10.0], variant="with"),
            result("stalled", "rss_mb", [50.0], variant="without"),
        ]
    )
    assert row(table, "came back and resumed") == ["10", "-"]
    assert row(table, "server memory (RSS)") == ["-", "50", "MB"]


def test_notes_on_a_variant_say_which() -> None:
    one = Result("stalled", "t", "chatd", "d", [Measured({}, None, ["slow"])], "with")
    assert "note on chatd, with: slow" in scenario_table([one])


def test_notes_are_said_once() -> None:
    runs = [Measured({"rss_mb": 1.0}, None, ["it was busy"])] * 2
    table = scenario_table([Result("group", "t", "chatd", "d", runs)])
    assert table.count("note on chatd: it was busy") == 1


def test_json_has_every_run(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    results = [
        result("group", "cpu_us_per_delivery", [2.4, 2.5, 2.6]),
        result("connections", "rss_kb_per_connection", [8.0], None),
    ]
    write_json(file, {"cpu": "x"}, {"dir": tmp_path}, results)
    document = json.loads(file.read_text())
    group = document["results"][0]
    assert group["median"] == {"cpu_us_per_delivery": 2.5}
    assert [run["figures"]["cpu_us_per_delivery"] for run in group["runs"]] == [2.4, 2.5, 2.6]
    assert group["tally"]["delivered"] == 30
    assert document["results"][1]["tally"] is None


def test_json_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="cannot write"):
        write_json(tmp_path, {}, {}, [])
