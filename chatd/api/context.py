"""What the HTTP handlers use."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chatd.clock import Clock
from chatd.metrics import Metrics
from chatd.services.accounts import Accounts
from chatd.services.blocks import Blocks
from chatd.services.groups import Groups


@dataclass(frozen=True)
class ApiContext:
    accounts: Accounts
    groups: Groups
    blocks: Blocks
    clock: Clock
    metrics: Metrics
    all_roles_accept: Callable[[], bool]
    """Whether every socket of the process accepts connections."""
    metrics_allow: Sequence[str]
    """Networks besides loopback that may read the metrics."""
