"""Every counter of the server in one table: plain integers on the hot path, read
when somebody asks."""

from typing import Final, NamedTuple


class MetricInfo(NamedTuple):
    kind: str
    help: str


TABLE: Final[dict[str, MetricInfo]] = {
    "connections": MetricInfo("gauge", "open connections of both sockets"),
    "connections_opened": MetricInfo("counter", "connections accepted since start"),
    "handshakes_refused": MetricInfo("counter", "upgrades answered with 4xx or 5xx"),
    "requests": MetricInfo("counter", "request frames decoded"),
    "malformed": MetricInfo("counter", "messages that were no request"),
    "errors": MetricInfo("counter", "ERROR replies"),
    "events": MetricInfo("counter", "events appended to the ledger, repeats not counted"),
    "duplicates": MetricInfo("counter", "appends answered with an earlier event"),
    "commits": MetricInfo(
        "counter", "ledger calls: events divided by it is the size of a group commit"
    ),
    "journal_waiting": MetricInfo("gauge", "entries that wait for a commit"),
    "deliveries": MetricInfo("counter", "events handed to connections as they were released"),
    "offline_deliveries": MetricInfo("counter", "events handed to connections that were behind"),
    "pages_read": MetricInfo("counter", "pages of events read from the store to catch up"),
    "page_bytes": MetricInfo("gauge", "bytes of pages kept for those who catch up"),
    "resyncs": MetricInfo("counter", "conversations that a slow connection fell behind in"),
    "receipts": MetricInfo("counter", "receipts told, by user"),
    "rate_limited": MetricInfo("counter", "frames refused because they came too fast"),
    "floods": MetricInfo("counter", "connections closed because they went on nevertheless"),
    "offline_jobs": MetricInfo("counter", "jobs done for members who are away"),
    "offline_jobs_waiting": MetricInfo("gauge", "jobs that wait"),
    "offline_jobs_dropped": MetricInfo("counter", "jobs dropped because too many waited"),
    "slow_consumers": MetricInfo("counter", "connections closed because their outbox was full"),
    "keepalive_timeouts": MetricInfo("counter", "connections closed because no pong came"),
    "cursors_waiting": MetricInfo("gauge", "delivered cursors that wait to be stored"),
    "cache_entries": MetricInfo("gauge", "entries of the in-process cache"),
    "cache_hits": MetricInfo("counter", "look-ups answered by the cache"),
    "cache_misses": MetricInfo("counter", "look-ups that went to the store"),
}


class Metrics:
    """One attribute per row of the table."""

    __slots__ = tuple(TABLE)

    def __init__(self) -> None:
        for name in TABLE:
            setattr(self, name, 0)

    connections: int
    connections_opened: int
    handshakes_refused: int
    requests: int
    malformed: int
    errors: int
    events: int
    duplicates: int
    commits: int
    journal_waiting: int
    deliveries: int
    offline_deliveries: int
    pages_read: int
    page_bytes: int
    resyncs: int
    receipts: int
    rate_limited: int
    floods: int
    offline_jobs: int
    offline_jobs_waiting: int
    offline_jobs_dropped: int
    slow_consumers: int
    keepalive_timeouts: int
    cursors_waiting: int
    cache_entries: int
    cache_hits: int
    cache_misses: int


def exposition(metrics: Metrics) -> str:
    """The Prometheus text format, version 0.0.4."""
    lines: list[str] = []
    for name, (kind, help_text) in TABLE.items():
        full = f"chatd_{name}_total" if kind == "counter" else f"chatd_{name}"
        lines += [
            f"# HELP {full} {help_text}",
            f"# TYPE {full} {kind}",
            f"{full} {getattr(metrics, name)}",
        ]
    return "\n".join(lines) + "\n"
