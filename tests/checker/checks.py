"""All checks of a history."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tests.checker.anomaly import Anomaly
from tests.checker.checks_arrival import check_arrival
from tests.checker.checks_cursors import check_cursors
from tests.checker.checks_log import check_log
from tests.checker.checks_messages import check_messages
from tests.checker.checks_order import check_order
from tests.checker.history import AnyRecord
from tests.checker.story import Story

CHECKS: Final[tuple[Callable[[Story], Iterator[Anomaly]], ...]] = (
    check_log,
    check_order,
    check_arrival,
    check_messages,
    check_cursors,
)


def find_anomalies(records: Sequence[AnyRecord]) -> list[Anomaly]:
    """Everything that is against the promises; empty when all is well."""
    story = Story(records)
    return [anomaly for check in CHECKS for anomaly in check(story)]
