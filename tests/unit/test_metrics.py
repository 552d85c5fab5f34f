"""chatd.metrics"""

import re
from typing import get_type_hints

import pytest

from chatd.metrics import TABLE, Metrics, exposition

SAMPLE = re.compile(r"(chatd_[a-z_]+) (\d+)")


def test_every_row_is_an_attribute_and_begins_at_nought() -> None:
    metrics = Metrics()
    assert get_type_hints(Metrics) == dict.fromkeys(TABLE, int)
    assert {getattr(metrics, name) for name in TABLE} == {0}


def test_there_is_no_other_metric() -> None:
    with pytest.raises(AttributeError):
        Metrics().conections = 1  # type: ignore[attr-defined]


def test_the_exposition_is_the_text_format_of_prometheus() -> None:
    metrics = Metrics()
    metrics.connections = 3
    metrics.events = 12
    text = exposition(metrics)
    assert text.endswith("\n") and not text.endswith("\n\n")
    lines = text.splitlines()
    assert len(lines) == 3 * len(TABLE)
    values: dict[str, int] = {}
    for (name, (kind, help_text)), at in zip(TABLE.items(), range(0, len(lines), 3), strict=True):
        full = f"chatd_{name}_total" if kind == "counter" else f"chatd_{name}"
        assert lines[at] == f"# HELP {full} {help_text}"
        assert lines[at + 1] == f"# TYPE {full} {kind}"
        sample = SAMPLE.fullmatch(lines[at + 2])
        assert sample is not None and sample[1] == full
        values[full] = int(sample[2])
    assert values["chatd_connections"] == 3
    assert values["chatd_events_total"] == 12
    assert sum(values.values()) == 15


def test_the_table_says_what_each_means() -> None:
    for name, (kind, help_text) in TABLE.items():
        assert kind in ("counter", "gauge"), name
        assert "\n" not in help_text and "\\" not in help_text, name
        assert len(help_text) > 10, name
