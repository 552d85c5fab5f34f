"""What the HTTP handlers use."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chatd.clock import Clock
from chatd.metrics import Metrics
from chatd.readiness import Readiness
from chatd.services.accounts import Accounts
from chatd.services.blocks import Blocks
from chatd.services.groups import Groups
from chatd.services.webhooks import Webhooks


@dataclass(frozen=True)
class ApiContext:
    accounts: Accounts
    groups: Groups
    blocks: Blocks
    webhooks: Webhooks
    clock: Clock
    metrics: Metrics
    accepting: Callable[[], dict[str, bool]]
    """Whether each socket of the process accepts connections, by its role."""
    readiness: Readiness
    node_id: str
    metrics_allow: Sequence[str]
    """Networks besides loopback that may read the metrics and the details of readiness."""
