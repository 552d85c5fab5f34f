"""How long to wait before the next try: exponential, with full jitter. Pure: chance is given."""

from collections.abc import Callable
from typing import Final

BASE_SECONDS: Final = 1.0
CAP_SECONDS: Final = 30.0
TRIES: Final = 10


class Backoff:
    """Each wait is anything from 0 up to a limit that doubles from `base` to `cap`.

    The whole range is drawn from, so that those who lost the same server do not come back at once.
    """

    def __init__(
        self,
        random: Callable[[], float],
        *,
        base: float = BASE_SECONDS,
        cap: float = CAP_SECONDS,
        tries: int | None = TRIES,
    ) -> None:
        """`random` gives numbers from 0 to 1; `tries` of None is no limit."""
        self._random = random
        self._base = base
        self._cap = cap
        self._tries = tries
        self.failures = 0
        """Since the last success."""

    def next(self) -> float | None:
        """Seconds to wait after one more failure; None when there were tries enough."""
        if self._tries is not None and self.failures >= self._tries:
            return None
        # Beyond some doublings the cap holds anyway, and a float has an end.
        limit = min(self._cap, self._base * 2.0 ** min(self.failures, 32))
        self.failures += 1
        return self._random() * limit

    def reset(self) -> None:
        """It has worked."""
        self.failures = 0
