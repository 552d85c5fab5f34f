"""One group in which some stop reading: what they cost in memory, what the others feel of it, and
whether they end complete once they read again.

Seat 0 posts at a steady rate. Of the members, some stall when the measuring begins: they read
nothing more from a socket for which the kernel keeps little (`bench.opening`). Of the others every
tenth reads at once and gives the latencies; the rest read ten times a second what has come, which
is all that a load client can do for so many. After the last message the stalled read again, those
whose connection the server has closed over a new one, with a RESUME from where they were. The same
is measured without the stalled, in a group of the others alone: members who are away would cost the
server something else.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from bench.errors import BenchError
from bench.fleet import Fleet
from bench.memory import MemoryWatch, peak_kb, second_half, slope_kb_a_second
from bench.options import Options
from bench.peers.chatd import Chatd
from bench.plan import Reading, Seat
from bench.scenarios import Measured
from bench.scenarios.traffic import note_on_stop, plans_for, run_warm_up, traffic_figures
from bench.shapes import PosterShape
from bench.tally import tally_everybody
from bench.window import Window, Work

NAME = "stalled"
_WATCHED_EVERY: Final = 10


def title(options: Options) -> str:
    return (
        f"group of {options.members:,} and a poster, {options.rate:g} messages/s for"
        f" {options.seconds:g} s, with and without {options.stalled_percent} % who stop reading"
    )


def run_with(peer: Chatd, options: Options) -> Measured:
    return _run(peer, options, stalls=True)


def run_without(peer: Chatd, options: Options) -> Measured:
    return _run(peer, options, stalls=False)


def seated(seats: Sequence[Seat], stalled_percent: int) -> list[Seat]:
    """The seats with their manner of reading; those who stall are spread over all."""
    result = [seats[0]]
    steady = 0
    for seat in seats[1:]:
        n = seat.number
        if n * stalled_percent // 100 > (n - 1) * stalled_percent // 100:
            reading = Reading.STALLS
        else:
            reading = Reading.IN_ROUNDS if steady % _WATCHED_EVERY else Reading.TIMED
            steady += 1
        comeback = seat.comeback if reading is Reading.STALLS else b""
        result.append(replace(seat, reading=reading, comeback=comeback))
    return result


def _run(peer: Chatd, options: Options, *, stalls: bool) -> Measured:
    stalling = options.members * options.stalled_percent // 100
    if not stalling:
        raise BenchError(f"{options.stalled_percent} % of {options.members:,} members are nobody")
    members = options.members if stalls else options.members - stalling
    seats = seated(peer.group_seats(1 + members), options.stalled_percent if stalls else 0)
    stalled = {seat.number for seat in seats if seat.reading is Reading.STALLS}
    watched = frozenset(seat.number for seat in seats[1:] if seat.reading is Reading.TIMED)
    first, end = options.warm_up, options.warm_up + options.messages
    with Fleet(plans_for(peer, seats, PosterShape(watched), end, options)) as fleet:
        fleet.open(0, len(seats))
        run_warm_up(fleet, options)
        counted_before, before = peer.counters(), Work.of(peer)
        with MemoryWatch(peer.pids, peer.addresses[0][1]) as memory:
            seconds, ended = fleet.run(first, end, stalls=stalls)
        window = Window(before, Work.of(peer), seconds, tuple(one.cpu_share for one in ended))
        waking_seconds, finished = fleet.finish({seat.number: end for seat in seats})
        counted = peer.counters()
        collected = fleet.collect(first)
    received = {seat: numbers for seat, numbers in collected.received.items() if seat}
    tally = tally_everybody(received, collected.sent)
    sent = len(collected.sent)
    tally.unacked = sent - len(collected.acks)
    delivered = sum(len(numbers) for seat, numbers in received.items() if seat not in stalled)
    rss_kb = before.server.rss_kb
    figures = {
        "cpu_us_per_delivery": window.server_seconds * 1e6 / max(delivered, 1),
        **traffic_figures(collected, delivered, seconds),
        **window.figures,
        "rss_before_mb": rss_kb / 1024,
        "rss_growth_mb": (peak_kb(memory.samples) - rss_kb) / 1024,
        "rss_slope_kb_s": slope_kb_a_second(second_half(memory.samples)),
        "unread_mb": memory.most_unread_bytes / 1024**2,
    }
    if stalls:
        closed = {
            name: counted[f"chatd_{name}_total"] - counted_before[f"chatd_{name}_total"]
            for name in ("slow_consumers", "keepalive_timeouts")
        }
        figures |= {
            "rss_kb_per_stalled": (peak_kb(memory.samples) - rss_kb) / len(stalled),
            "unread_kb_per_stalled": memory.most_unread_bytes / 1024 / len(stalled),
            "closed_slow": closed["slow_consumers"],
            "closed_no_pong": closed["keepalive_timeouts"],
            "came_back": sum(one.came_back for one in finished),
            "complete_seconds": waking_seconds,
        }
    notes = window.notes(is_paced=True)
    if any(one.is_stalled for one in ended):
        notes.append(note_on_stop(sent, options))
    if any(one.is_stalled for one in finished):
        notes.append(
            f"nothing more came for {options.patience_seconds:g} s after the end,"
            " and not all were complete"
        )
    series = {"rss_kb": [float(sample.rss_kb) for sample in memory.samples]}
    return Measured(figures, tally, notes, series)
