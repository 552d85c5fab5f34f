"""What a name filter did, for the metrics."""

from chatd.fabric.name_filter import of_user
from chatd.metrics import Metrics

_MILLION = 1_000_000
_SIGIL = of_user("")


class NameTally:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._absent_users = 0
        """Of whom an absence was told."""

    def looked_up(self) -> None:
        self._metrics.names_lookups += 1

    def told_absent(self, name: str) -> None:
        self._metrics.names_saved += 1
        # Whether a group is not there, or only not this user's, the store does not say.
        if name.startswith(_SIGIL):
            self._absent_users += 1
            self._rate()

    def asked_in_vain(self) -> None:
        self._metrics.names_false_positives += 1
        self._rate()

    def holds(self, *, is_built: bool, count: int, size_bytes: int) -> None:
        self._metrics.names_built = int(is_built)
        self._metrics.names_known = count
        self._metrics.names_bytes = size_bytes

    def _rate(self) -> None:
        vain = self._metrics.names_false_positives
        self._metrics.names_false_positives_ppm = vain * _MILLION // (vain + self._absent_users)
