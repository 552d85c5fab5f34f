"""What must be reached, and whether it was."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from bench.options import On
from bench.report import FIGURES, Figure, Result, aligned, number_text


class Bound(NamedTuple):
    """What a figure of a scenario must be, at most or at least."""

    scenario: str
    figure: str
    limit: float
    is_least: bool = False
    of_variants: bool = False
    """It is the ratio of the scenario's first variant to its second that counts."""


BOUNDS: Final = {
    On.EMBEDDED: (
        Bound("group", "cpu_us_per_delivery", 2.5),
        Bound("pairs", "cpu_us_per_message", 100.0),
        Bound("connections", "rss_kb_per_connection", 10.0),
        Bound("reconnect", "reads_per_page", 1.0),
    ),
    On.BACKENDS: (
        Bound("group", "cpu_us_per_delivery", 2.5),
        Bound("pairs", "cpu_us_per_message", 130.0),
        Bound("pairs", "messages_per_second", 3_000.0, is_least=True),
        Bound("paced", "latency_p50_ms", 10.0),
        Bound("paced", "latency_p99_ms", 50.0),
        Bound("nodes", "cpu_us_per_delivery", 1.3, of_variants=True),
        Bound("soak", "latency_p95_ms", 100.0),
        Bound("soak", "latency_p99_ms", 200.0),
        Bound("reconnect", "reads_per_page", 1.0),
    ),
}
_RATIO: Final = Figure("", "", 2)


def bounds_table(results: Sequence[Result], bounds: Sequence[Bound]) -> tuple[str, bool]:
    """What was reached beside what must be, for the results of chatd; whether all is kept."""
    rows = [["", "reached", "bound", ""]]
    is_kept = True
    for bound in bounds:
        own = [result for result in results if result.scenario == bound.scenario]
        if not own:
            continue
        label, figure = FIGURES[bound.figure].label, FIGURES[bound.figure]
        reached = own[0].median(bound.figure)
        if bound.of_variants:
            label, figure = f"{label}, {own[0].variant} to {own[1].variant}", _RATIO
            reached /= own[1].median(bound.figure)
        good = reached >= bound.limit if bound.is_least else reached <= bound.limit
        is_kept = is_kept and good
        limit = f"{'>=' if bound.is_least else '<='} {bound.limit:,g} {figure.unit}".rstrip()
        rows.append(
            [
                f"{bound.scenario}: {label}",
                number_text(reached, figure),
                limit,
                "yes" if good else "no",
            ]
        )
    for result in results:
        if (tally := result.tally) is not None:
            good = tally.is_clean
            is_kept = is_kept and good
            name = f"{result.scenario}, {result.variant}" if result.variant else result.scenario
            label = f"{name}: lost, twice, out of order, not theirs, not acked"
            rows.append([label, f"{tally.faults:,}", "0", "yes" if good else "no"])
    return "\n".join(aligned(rows)), is_kept
