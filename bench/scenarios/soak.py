"""Many open connections, most of them idle, and messages at a steady rate between pairs and small
groups of the others: what is lost or late, and what it costs."""

import time
from collections.abc import Mapping, Sequence
from typing import Final

from bench.command_line import SOAK_GROUP_MEMBERS
from bench.fleet import Fleet
from bench.measure import Usage
from bench.memory import MemoryWatch, peak_kb, second_half, slope_kb_a_second
from bench.options import Options
from bench.peers.chatd import Chatd
from bench.scenarios import Measured
from bench.scenarios.traffic import (
    note_on_stop,
    plans_for,
    run_warm_up,
    settled,
    traffic_figures,
)
from bench.shapes import MixedShape
from bench.tally import Tally, tally, tally_group, tally_pairs
from bench.window import Window, Work

NAME = "soak"
_SETTLE_SECONDS: Final = 1


def title(options: Options) -> str:
    shape = shape_of(options)
    return (
        f"{options.connections:,} connections, {options.rate:g} messages/s for {options.seconds:g}"
        f" s, of {options.size:,} bytes, in {shape.pairs:,} conversations of two and"
        f" {shape.groups:,} of {shape.group_members}"
    )


def shape_of(options: Options) -> MixedShape:
    """Half of those who are busy write in pairs, the others in groups; of each one at least."""
    busy = options.connections * options.busy_percent // 100
    pairs = max(busy // 4, 1)
    groups = max((busy - 2 * pairs) // SOAK_GROUP_MEMBERS, 1)
    return MixedShape(pairs, groups, SOAK_GROUP_MEMBERS)


def run(peer: Chatd, options: Options) -> Measured:
    shape = shape_of(options)
    count = options.connections
    first, end = options.warm_up, options.warm_up + options.messages
    seats = peer.mixed_seats(shape, count)
    with Fleet(plans_for(peer, seats, shape, end, options)) as fleet:
        unopened = Usage.of(peer.pids)
        began = time.monotonic()
        fleet.open(0, count)
        opening_seconds = time.monotonic() - began
        time.sleep(_SETTLE_SECONDS)
        opened = Usage.of(peer.pids)
        run_warm_up(fleet, options)
        peer.settle()
        counted, before = peer.counters(), Work.of(peer)
        with MemoryWatch(peer.pids) as memory:
            seconds, ended = fleet.run(first, end)
        window = Window(before, Work.of(peer), seconds, tuple(one.cpu_share for one in ended))
        cpu_seconds, counters = settled(peer, before, counted)
        fleet.open(0, 0)
        collected = fleet.collect(first)
    account = tally_mixed(collected.received, collected.sent, shape)
    sent = len(collected.sent)
    account.unacked = sent - len(collected.acks)
    rss_kb = before.server.rss_kb
    figures = {
        "cpu_us_per_message": cpu_seconds * 1e6 / max(sent, 1),
        **traffic_figures(collected, account.delivered, seconds),
        **window.figures,
        **counters,
        "rss_before_mb": rss_kb / 1024,
        "rss_growth_mb": (peak_kb(memory.samples) - rss_kb) / 1024,
        "rss_slope_kb_s": slope_kb_a_second(second_half(memory.samples)),
        "rss_kb_per_connection": (opened.rss_kb - unopened.rss_kb) / count,
        "connects_per_second": count / opening_seconds,
        "cpu_us_per_connect": (opened.cpu_seconds - unopened.cpu_seconds) * 1e6 / count,
    }
    notes = window.notes(is_paced=True)
    if any(one.is_stalled for one in ended):
        notes.append(note_on_stop(sent, options))
    series = {"rss_kb": [float(sample.rss_kb) for sample in memory.samples]}
    return Measured(figures, account, notes, series)


def tally_mixed(
    received: Mapping[int, Sequence[int]], numbers: Sequence[int], shape: MixedShape
) -> Tally:
    """The account of all conversations, each of which has an order of its own. Who is in none must
    have received nothing."""
    of_conversation: list[list[int]] = [[] for _ in range(shape.lanes)]
    for number in numbers:
        of_conversation[number % shape.lanes].append(number)
    total = Tally()
    for conversation, theirs in enumerate(of_conversation):
        total += _tally_of(conversation, received, theirs, shape)
    for seat, anything in received.items():
        if seat >= shape.talking:
            total += tally(anything, ())
    return total


def _tally_of(
    conversation: int,
    received: Mapping[int, Sequence[int]],
    numbers: Sequence[int],
    shape: MixedShape,
) -> Tally:
    members = shape.members(conversation)
    theirs = {seat - members.start: received.get(seat, ()) for seat in members}

    def sender(number: int) -> int:
        return shape.sender(number) - members.start

    def recipient(number: int) -> int:
        return 1 - sender(number)

    if conversation < shape.pairs:
        return tally_pairs(theirs, numbers, recipient)
    return tally_group(theirs, numbers, sender, has_echo=False)
