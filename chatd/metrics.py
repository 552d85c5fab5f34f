"""Every counter of the server in one table: plain integers on the hot path, read
when somebody asks."""

from typing import Final, NamedTuple


class MetricInfo(NamedTuple):
    kind: str
    help: str


TABLE: Final[dict[str, MetricInfo]] = {
    "worker": MetricInfo("gauge", "number of the worker that answers; 0: the process is alone"),
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
    "gaps_filled": MetricInfo("counter", "events read from the log because they did not come"),
    "holes": MetricInfo("counter", "numbers that were acknowledged and are in no store"),
    "history_waiting": MetricInfo("gauge", "events in memory that the message store lacks"),
    "history_unstored": MetricInfo("gauge", "events of this process that the message store lacks"),
    "history_events": MetricInfo("counter", "events put into the message store"),
    "history_puts": MetricInfo(
        "counter", "puts: events divided by it is the size of a group commit"
    ),
    "history_put_failures": MetricInfo("counter", "puts that failed and were repeated"),
    "history_taken_over": MetricInfo("counter", "events put for processes that are gone"),
    "tails_found": MetricInfo("counter", "newest pages of histories found in the cache"),
    "tails_missed": MetricInfo("counter", "newest pages read from the store and kept"),
    "tails_cut": MetricInfo(
        "counter", "conversations of lists whose older messages could not be read"
    ),
    "receipts": MetricInfo("counter", "receipts told, by user"),
    "rate_limited": MetricInfo("counter", "frames refused because they came too fast"),
    "floods": MetricInfo("counter", "connections closed because they went on nevertheless"),
    "offline_jobs": MetricInfo("counter", "jobs done for members who are away"),
    "offline_jobs_waiting": MetricInfo("gauge", "jobs that wait"),
    "offline_jobs_dropped": MetricInfo("counter", "jobs dropped because too many waited"),
    "pushes": MetricInfo("counter", "webhooks that took a push"),
    "pushes_failed": MetricInfo("counter", "pushes given up after the last attempt"),
    "pushes_refused": MetricInfo(
        "counter", "pushes that a webhook refused, or whose address is not allowed"
    ),
    "pushes_dropped": MetricInfo("counter", "pushes dropped because too many waited"),
    "bus_published": MetricInfo("counter", "payloads given to the bus of all nodes"),
    "bus_heard": MetricInfo("counter", "payloads heard from it, those of this node too"),
    "bus_dropped": MetricInfo("counter", "payloads that the bus was not given: gone or too slow"),
    "bus_reconnects": MetricInfo("counter", "times that the bus was lost and is back"),
    "slow_consumers": MetricInfo("counter", "connections closed because their outbox was full"),
    "keepalive_timeouts": MetricInfo("counter", "connections closed because no pong came"),
    "cursors_waiting": MetricInfo("gauge", "delivered cursors that wait to be stored"),
    "cache_entries": MetricInfo("gauge", "entries of the in-process cache"),
    "cache_hits": MetricInfo("counter", "look-ups answered by the cache"),
    "cache_misses": MetricInfo("counter", "look-ups that went to the store"),
    "names_lookups": MetricInfo("counter", "usernames and group ids looked up in the name filter"),
    "names_saved": MetricInfo("counter", "of those: nobody has them, and the store was not asked"),
    "names_false_positives": MetricInfo(
        "counter", "usernames that the name filter has and the store, asked for them, has not"
    ),
    "names_false_positives_ppm": MetricInfo(
        "gauge", "the same, of a million look-ups of usernames that nobody has"
    ),
    "names_known": MetricInfo("gauge", "names in the name filter"),
    "names_bytes": MetricInfo("gauge", "size of the name filter in this process"),
    "names_built": MetricInfo("gauge", "1: the name filter is built and trusted"),
}


class Metrics:
    """One attribute per row of the table."""

    __slots__ = tuple(TABLE)

    def __init__(self) -> None:
        for name in TABLE:
            setattr(self, name, 0)

    worker: int
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
    gaps_filled: int
    holes: int
    history_waiting: int
    history_unstored: int
    history_events: int
    history_puts: int
    history_put_failures: int
    history_taken_over: int
    tails_found: int
    tails_missed: int
    tails_cut: int
    receipts: int
    rate_limited: int
    floods: int
    offline_jobs: int
    offline_jobs_waiting: int
    offline_jobs_dropped: int
    pushes: int
    pushes_failed: int
    pushes_refused: int
    pushes_dropped: int
    bus_published: int
    bus_heard: int
    bus_dropped: int
    bus_reconnects: int
    slow_consumers: int
    keepalive_timeouts: int
    cursors_waiting: int
    cache_entries: int
    cache_hits: int
    cache_misses: int
    names_lookups: int
    names_saved: int
    names_false_positives: int
    names_false_positives_ppm: int
    names_known: int
    names_bytes: int
    names_built: int


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
