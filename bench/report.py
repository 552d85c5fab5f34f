"""Tables for people and JSON for programs, from the runs of every peer."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bench.errors import BenchError
from bench.scenarios import Measured
from bench.tally import Tally


@dataclass(frozen=True)
class Figure:
    label: str
    unit: str
    decimals: int


FIGURES: Final[Mapping[str, Figure]] = {
    "cpu_us_per_delivery": Figure("server CPU per delivery", "us", 2),
    "cpu_us_per_message": Figure("server CPU per message", "us", 1),
    "rss_kb_per_connection": Figure("memory (RSS) per connection", "KB", 2),
    "rss_kb_per_connection_held": Figure("the same at the end", "KB", 2),
    "slab_kb_per_connection": Figure("kernel slab per connection, both ends", "KB", 2),
    "idle_cpu_percent": Figure("server CPU while idle", "%", 2),
    "connects_per_second": Figure("connects", "/s", 0),
    "cpu_us_per_connect": Figure("server CPU per connect", "us", 0),
    "messages_per_second": Figure("messages", "/s", 0),
    "deliveries_per_second": Figure("deliveries", "/s", 0),
    "latency_p50_ms": Figure("send to receive P50", "ms", 2),
    "latency_p95_ms": Figure("send to receive P95", "ms", 2),
    "latency_p99_ms": Figure("send to receive P99", "ms", 2),
    "latency_p99.9_ms": Figure("send to receive P99.9", "ms", 2),
    "latency_max_ms": Figure("send to receive, longest", "ms", 2),
    "ack_p50_ms": Figure("send to ack P50", "ms", 2),
    "ack_p95_ms": Figure("send to ack P95", "ms", 2),
    "ack_p99_ms": Figure("send to ack P99", "ms", 2),
    "ack_p99.9_ms": Figure("send to ack P99.9", "ms", 2),
    "ack_max_ms": Figure("send to ack, longest", "ms", 2),
    "server_cpu_percent": Figure("server CPU", "%", 0),
    "client_cpu_percent": Figure("load client CPU, busiest process", "%", 0),
    "postgresql_cpu_percent": Figure("CPU of PostgreSQL, of one core", "%", 0),
    "cassandra_cpu_percent": Figure("CPU of Cassandra, of one core", "%", 0),
    "redis_cpu_percent": Figure("CPU of Redis, of one core", "%", 0),
    "queue_redis_cpu_percent": Figure("CPU of the queue's Redis, of one core", "%", 0),
    "other_cpu_percent": Figure("CPU of everything else, of one core", "%", 0),
    "rss_mb": Figure("server memory (RSS)", "MB", 0),
    "events_per_commit": Figure("events per commit", "", 1),
    "events_per_put": Figure("events per put into the message store", "", 1),
    "settled_seconds": Figure("from the end until it had everything", "s", 1),
    "gaps_filled": Figure("events read from the log because they did not come", "", 0),
    "bus_dropped": Figure("payloads that the bus was not given", "", 0),
    "rss_before_mb": Figure("the same before", "MB", 0),
    "rss_growth_mb": Figure("its growth, at most", "MB", 1),
    "rss_slope_kb_s": Figure("its slope in the second half", "KB/s", 1),
    "unread_mb": Figure("unread in the kernel, at most", "MB", 1),
    "rss_kb_per_stalled": Figure("growth of RSS per stalled reader", "KB", 0),
    "unread_kb_per_stalled": Figure("unread in the kernel per stalled reader", "KB", 0),
    "closed_slow": Figure("closed as slow consumers (4008)", "", 0),
    "closed_no_pong": Figure("closed because no pong came (1011)", "", 0),
    "came_back": Figure("came back and resumed", "", 0),
    "complete_seconds": Figure("from waking until all were complete", "s", 2),
    "resumed_seconds": Figure("until all had resumed", "s", 2),
    "resumed_p50_ms": Figure("connect to resumed P50", "ms", 0),
    "resumed_p95_ms": Figure("connect to resumed P95", "ms", 0),
    "resumed_p99_ms": Figure("connect to resumed P99", "ms", 0),
    "resumed_p99.9_ms": Figure("connect to resumed P99.9", "ms", 0),
    "resumed_max_ms": Figure("connect to resumed, longest", "ms", 0),
    "cpu_us_per_client": Figure("server CPU per client", "us", 0),
    "cpu_us_per_missed": Figure("server CPU per missed message", "us", 2),
    "missed_per_client": Figure("missed messages per client", "", 1),
    "pages_needed": Figure("different pages needed", "", 0),
    "pages_read": Figure("pages read from the store", "", 0),
    "reads_per_page": Figure("reads per page", "", 3),
}


@dataclass(frozen=True)
class Result:
    """All runs of one scenario on one peer."""

    scenario: str
    title: str
    peer: str
    description: str
    runs: Sequence[Measured]
    variant: str = ""
    """What distinguishes it from the others of this peer, if there are any."""

    @property
    def column(self) -> str:
        return self.variant or self.peer

    def values(self, figure: str) -> list[float]:
        """One of each run; none where it is not measured."""
        return [run.figures[figure] for run in self.runs if figure in run.figures]

    def median(self, figure: str) -> float:
        return statistics.median(self.values(figure))

    @property
    def tally(self) -> Tally | None:
        """Of all runs together; None where nothing is sent."""
        tallies = [run.tally for run in self.runs if run.tally is not None]
        if not tallies:
            return None
        total = Tally()
        for one in tallies:
            total += one
        return total


def scenario_table(results: Sequence[Result]) -> str:
    """One scenario: a line per figure, a column per peer or variant, and the ratio if there are
    two; of two variants also the difference, turn by turn."""
    first = results[0]
    header = ["", *(result.column for result in results)]
    if len(results) > 1:
        header.append("ratio" if first.variant else f"{first.peer} / {results[1].peer}")
    if first.variant:
        header.append("difference")
    rows = [header]
    for name in dict.fromkeys(name for result in results for name in result.runs[0].figures):
        figure = FIGURES[name]
        values = [result.values(name) for result in results]
        row = [figure.label, *(_spread(theirs, figure) for theirs in values)]
        if len(results) > 1 and all(values[:2]):
            row.append(_ratio(first.median(name), results[1].median(name)))
            if first.variant:
                turns = zip(values[0], values[1], strict=True)
                row.append(_spread([one - other for one, other in turns], figure))
        rows.append(row)
    for label, name in (
        ("delivered", "delivered"),
        ("expected", "expected"),
        ("lost", "lost"),
        ("came twice", "duplicates"),
        ("out of order", "reordered"),
        ("not theirs", "strays"),
        ("sent and not acked", "unacked"),
    ):
        if first.tally is not None:
            rows.append([label, *(f"{getattr(result.tally, name):,}" for result in results)])
    runs = len(first.runs)
    repeats = f", median of {runs} runs (least to most)" if runs > 1 else ""
    peers = dict.fromkeys(f"  {result.peer}: {result.description}" for result in results)
    lines = [first.title + repeats, *peers, "", *aligned(rows)]
    for result in results:
        notes = dict.fromkeys(note for run in result.runs for note in run.notes)
        which = f"{result.peer}, {result.variant}" if result.variant else result.peer
        lines += [f"note on {which}: {note}" for note in notes]
    return "\n".join(lines)


def write_json(
    file: Path, machine: Mapping[str, str], options: Mapping[str, Any], results: Sequence[Result]
) -> None:
    """Everything that was measured, every run of it.

    Raises:
        BenchError: the file cannot be written.
    """
    document = {
        "machine": machine,
        "options": options,
        "results": [
            {
                "scenario": result.scenario,
                "title": result.title,
                "peer": result.peer,
                "variant": result.variant,
                "description": result.description,
                "median": {name: result.median(name) for name in result.runs[0].figures},
                "tally": None if result.tally is None else asdict(result.tally),
                "runs": [asdict(run) for run in result.runs],
            }
            for result in results
        ],
    }
    try:
        file.write_text(json.dumps(document, indent=2, default=str) + "\n")
    except OSError as error:
        raise BenchError(f"cannot write {file}: {error.strerror}") from None


def _spread(values: Sequence[float], figure: Figure) -> str:
    if not values:
        return "-"
    text = number_text(statistics.median(values), figure)
    if len(values) > 1:
        least, most = (f"{value:,.{figure.decimals}f}" for value in (min(values), max(values)))
        text += f" ({least} to {most})"
    return text


def number_text(value: float, figure: Figure) -> str:
    return f"{value:,.{figure.decimals}f} {figure.unit}".rstrip()


def _ratio(ours: float, theirs: float) -> str:
    return f"{ours / theirs:.2f}" if theirs else "-"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of equal width, the first flush left."""
    columns = max(map(len, rows))
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(columns)]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=False))
        ).rstrip()
        for row in rows
    ]
