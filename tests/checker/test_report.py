"""What a run says, and the command line on a saved history."""

from pathlib import Path

import pytest

from protocol import requests
from tests.checker import history
from tests.checker.__main__ import main
from tests.checker.checks import find_anomalies
from tests.checker.report import Tally, tell
from tests.checker.tale import ANN, BEN, GROUP, Tale


def told_of_nothing() -> list[history.AnyRecord]:
    """Ann posts while Ben is here, and Ben never hears of it."""
    tale = Tale()
    ann, ben = tale.arrive(ANN), tale.arrive(BEN)
    tale.post(ann, "a", not_to=[ben])
    tale.settle(ben)
    return tale.audited()


def test_what_is_counted_is_counted_once() -> None:
    tale, tally = Tale(), Tally()
    ann = tale.arrive(ANN)
    tale.post(ann, "a")
    tally.take(tale.records)
    tale.ask(ann, requests.Ack(group_id=GROUP, seq=2), with_ref=False)
    tale.add(history.Killed())
    tally.take(tale.records)
    assert str(tally) == "operations 3  acks 2  kills 1  reconnects 1  anomalies 0"
    tally.next_round()
    tally.take(tale.records)
    assert str(tally) == "operations 6  acks 4  kills 2  reconnects 2  anomalies 0"


def test_an_anomaly_is_told_with_the_records_that_show_it() -> None:
    records = told_of_nothing()
    (anomaly,) = find_anomalies(records)
    text = tell([anomaly] * 100, records)
    assert text.startswith("missing: 100\n")
    assert text.count(str(anomaly)) < 10
    for number in anomaly.shown_by:
        assert f'  {{"n":{number},' in text


@pytest.mark.parametrize("is_good", [False, True])
def test_a_saved_history_is_judged_again(
    is_good: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "history.jsonl"
    records = Tale().audited() if is_good else told_of_nothing()
    history.save(records, path)
    assert main(["--judge", str(path)]) == (0 if is_good else 1)
    assert ("missing: 1" in capsys.readouterr().out) is not is_good
