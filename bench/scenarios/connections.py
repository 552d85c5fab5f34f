"""Idle connections: what one costs in memory, and what all of them cost while nothing happens."""

import time
from typing import Final

from bench.fleet import Fleet
from bench.measure import Usage, slab_kb
from bench.options import Options
from bench.peers import Peer
from bench.scenarios import Measured
from bench.scenarios.traffic import plans_for

NAME = "connections"

_FIRST: Final = 100
"""Connections that are open before the memory is read, so that what is made once does not count."""
_SETTLE_SECONDS: Final = 1


def title(options: Options) -> str:
    return f"{options.connections:,} idle connections, held for {options.hold_seconds:g} s"


def run(peer: Peer, options: Options) -> Measured:
    end = _FIRST + options.connections
    seats = peer.idle_seats(end)
    with Fleet(plans_for(peer, seats, None, 0, options)) as fleet:
        fleet.open(0, _FIRST)
        time.sleep(_SETTLE_SECONDS)
        before, slab_before = Usage.of(peer.pids), slab_kb()
        started = time.monotonic()
        fleet.open(_FIRST, end)
        opening_seconds = time.monotonic() - started
        time.sleep(_SETTLE_SECONDS)
        opened, slab_opened = Usage.of(peer.pids), slab_kb()
        time.sleep(options.hold_seconds)
        held = Usage.of(peer.pids)
        fleet.open(0, 0)
    count = options.connections
    figures = {
        "rss_kb_per_connection": (opened.rss_kb - before.rss_kb) / count,
        "rss_kb_per_connection_held": (held.rss_kb - before.rss_kb) / count,
        "slab_kb_per_connection": (slab_opened - slab_before) / count,
        "idle_cpu_percent": (held.cpu_seconds - opened.cpu_seconds) / options.hold_seconds * 100,
        "connects_per_second": count / opening_seconds,
        "cpu_us_per_connect": (opened.cpu_seconds - before.cpu_seconds) * 1e6 / count,
        "rss_mb": held.rss_kb / 1024,
    }
    return Measured(figures)
