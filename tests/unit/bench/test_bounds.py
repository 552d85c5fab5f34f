from collections.abc import Sequence

import pytest

from bench.bounds import BOUNDS, Bound, bounds_table
from bench.options import On
from bench.report import FIGURES, Result
from bench.runner import OWN_SCENARIOS, SCENARIOS
from bench.scenarios import Measured
from bench.tally import Tally

CLEAN = Tally(expected=10, delivered=10)
ALL = [(on, bound) for on, bounds in BOUNDS.items() for bound in bounds]


def result(
    scenario: str, figures: dict[str, float], tally: Tally | None = CLEAN, variant: str = ""
) -> Result:
    return Result(scenario, "t", "chatd", "d", [Measured(figures, tally)], variant)


def at_the_limit(on: On) -> list[Result]:
    """Of every scenario what must be reached, and no more."""
    figures: dict[str, dict[str, float]] = {}
    for bound in BOUNDS[on]:
        figures.setdefault(bound.scenario, {})[bound.figure] = bound.limit
    figures.pop("nodes", None)
    nodes = [
        result("nodes", {"cpu_us_per_delivery": cpu_us}, variant=variant)
        for variant, cpu_us in (("two nodes", 2.6), ("one node", 2.0))
    ]
    alone = [result(scenario, theirs) for scenario, theirs in figures.items()]
    return alone + (nodes if on is On.BACKENDS else [])


def row(table: str, label: str) -> list[str]:
    (line,) = (line for line in table.splitlines() if line.startswith(label + "  "))
    return line[len(label) :].split()


@pytest.mark.parametrize("on", list(On))
def test_all_bounds_kept(on: On) -> None:
    table, is_kept = bounds_table(at_the_limit(on), BOUNDS[on])
    assert is_kept
    assert row(table, "group: server CPU per delivery") == ["2.50", "us", "<=", "2.5", "us", "yes"]
    assert all(line.endswith(" yes") for line in table.splitlines()[1:])


def test_what_is_wanted_at_least_and_beside_the_other_variant() -> None:
    table, _ = bounds_table(at_the_limit(On.BACKENDS), BOUNDS[On.BACKENDS])
    assert row(table, "pairs: messages") == ["3,000", "/s", ">=", "3,000", "/s", "yes"]
    assert row(table, "nodes: server CPU per delivery, two nodes to one node") == [
        *("1.30", "<=", "1.3", "yes")
    ]


@pytest.mark.parametrize(("on", "bound"), ALL)
def test_a_figure_beyond_its_bound(on: On, bound: Bound) -> None:
    missed = bound.limit * (0.99 if bound.is_least else 1.01)
    results: Sequence[Result] = [result(bound.scenario, {bound.figure: missed})]
    if bound.of_variants:
        results = [
            result(bound.scenario, {bound.figure: cpu_us}, variant=variant)
            for variant, cpu_us in (("one", 2 * missed), ("other", 2.0))
        ]
    table, is_kept = bounds_table(results, [bound])
    assert not is_kept
    assert table.splitlines()[1].startswith(f"{bound.scenario}: {FIGURES[bound.figure].label}")
    assert table.splitlines()[1].endswith(" no")


def test_only_what_was_measured_is_held_against_its_bound() -> None:
    results = [result("reconnect", {"reads_per_page": 1.01})]
    table, is_kept = bounds_table(results, BOUNDS[On.EMBEDDED])
    assert not is_kept
    assert len(table.splitlines()) == 3
    assert row(table, "reconnect: reads per page") == ["1.010", "<=", "1", "no"]


def test_a_loss_breaks_the_bounds_too() -> None:
    results = [result("soak", {"latency_p95_ms": 1.0, "latency_p99_ms": 1.0}, Tally(10, 9, lost=1))]
    table, is_kept = bounds_table(results, BOUNDS[On.BACKENDS])
    assert not is_kept
    assert row(table, "soak: lost, twice, out of order, not theirs, not acked") == ["1", "0", "no"]


def test_a_loss_of_one_variant_says_which() -> None:
    results = [
        result("nodes", {"cpu_us_per_delivery": 1.0}, tally, variant)
        for variant, tally in (("two nodes", Tally(10, 9, lost=1)), ("one node", CLEAN))
    ]
    table, is_kept = bounds_table(results, BOUNDS[On.BACKENDS])
    assert not is_kept
    label = "nodes, two nodes: lost, twice, out of order, not theirs, not acked"
    assert row(table, label) == ["1", "0", "no"]


@pytest.mark.parametrize(("on", "bound"), ALL)
def test_bounds_are_of_scenarios_and_figures_that_there_are(on: On, bound: Bound) -> None:
    assert bound.scenario in SCENARIOS | OWN_SCENARIOS
    assert bound.figure in FIGURES
