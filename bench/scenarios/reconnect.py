"""All clients are cut off, miss messages in conversations that they have in common, and come back
at once with `?resume=1` and a RESUME from where they were."""

from bench.errors import BenchError
from bench.fleet import Fleet
from bench.options import Options
from bench.peers.chatd import Chatd
from bench.peers.chatd_crowd import MISSED_DIRECT
from bench.scenarios import Measured
from bench.scenarios.traffic import plans_for
from bench.tally import tally_conversations
from bench.window import Window, Work

NAME = "reconnect"


def title(options: Options) -> str:
    return (
        f"{options.clients:,} clients come back at once, each missed {options.missed:,} messages of"
        f" two or three groups and {MISSED_DIRECT} direct ones, of {options.size:,} bytes"
    )


def run(peer: Chatd, options: Options) -> Measured:
    crowd = peer.crowd(options.clients, options.missed, options.size)
    seen = {n: sum(one.seen for one in theirs) for n, theirs in enumerate(crowd.of_seat)}
    with Fleet(plans_for(peer, crowd.seats, None, 0, options)) as fleet:
        fleet.open(0, len(crowd.seats))
        crowd.post_seen()
        _, finished = fleet.finish(seen)
        if any(one.is_stalled for one in finished):
            raise BenchError("not all got what was posted before the cut")
        positions = fleet.cut()
        peer.wait_until_alone()
        crowd.post_missed()
        peer.wait_until_alone()
        counted_before, before = peer.counters(), Work.of(peer)
        seconds, latencies, client_share = fleet.come_back()
        window = Window(before, Work.of(peer), seconds, (client_share,))
        counted = peer.counters()
        collected = fleet.collect(0)
    tally = tally_conversations(
        collected.received, [[one.numbers for one in theirs] for theirs in crowd.of_seat]
    )

    def during(name: str) -> int:
        return counted[f"chatd_{name}_total"] - counted_before[f"chatd_{name}_total"]

    pages = crowd.pages_needed(positions)
    figures = {
        "resumed_seconds": seconds,
        **{f"resumed_{k}_ms": v for k, v in latencies.summary_ms().items()},
        "cpu_us_per_client": window.server_seconds * 1e6 / options.clients,
        "cpu_us_per_missed": window.server_seconds * 1e6 / max(during("offline_deliveries"), 1),
        "missed_per_client": during("offline_deliveries") / options.clients,
        "pages_needed": pages,
        "pages_read": during("pages_read"),
        "reads_per_page": during("pages_read") / pages,
        **window.figures,
    }
    return Measured(figures, tally, window.notes(is_paced=False))
