"""What a run says: how far it has got, and what it found."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from protocol.pushes import Success
from tests.checker.anomaly import Anomaly, count
from tests.checker.history import Answered, AnyRecord, Asked, Connected, Killed, line

_SHOWN_OF_A_KIND: Final = 5
_RECORD_CHARS: Final = 400


class Tally:
    """Counts of a run, over its rounds."""

    def __init__(self) -> None:
        self.operations = 0
        self.acks = 0
        self.kills = 0
        self.reconnects = 0
        self.anomalies = 0
        self._taken = 0
        self._devices: set[int] = set()

    def take(self, records: Sequence[AnyRecord]) -> None:
        """Count what the history of this round has more than at the last call."""
        for record in records[self._taken :]:
            match record:
                case Asked():
                    self.operations += 1
                case Answered(reply=Success()):
                    self.acks += 1
                case Killed():
                    self.kills += 1
                case Connected():
                    self.reconnects += 1
        self._taken = len(records)

    def next_round(self) -> None:
        self._taken = 0

    def __str__(self) -> str:
        return (
            f"operations {self.operations}  acks {self.acks}  kills {self.kills}"
            f"  reconnects {self.reconnects}  anomalies {self.anomalies}"
        )


def tell(anomalies: Sequence[Anomaly], records: Sequence[AnyRecord]) -> str:
    """The anomalies, some of each kind, with the records that show them."""
    lines = [f"{kind}: {number}" for kind, number in count(anomalies).items()]
    shown: Counter[str] = Counter()
    for anomaly in anomalies:
        shown[anomaly.kind] += 1
        if shown[anomaly.kind] <= _SHOWN_OF_A_KIND:
            lines += ["", str(anomaly)]
            lines += [f"  {line(at, records[at])[:_RECORD_CHARS]}" for at in anomaly.shown_by]
    return "\n".join(lines)
