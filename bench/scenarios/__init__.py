"""What is measured: each scenario makes one run of one peer, with its figures by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.tally import Tally


@dataclass(frozen=True)
class Measured:
    figures: Mapping[str, float]
    """The names are those of `bench.report.FIGURES`."""
    tally: Tally | None = None
    """None where nothing is sent."""
    notes: list[str] = field(default_factory=list)
    series: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """What was looked at each second; for the JSON alone."""
