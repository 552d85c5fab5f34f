"""The part that `group` and `pairs` share: warm up, measure, and give an account."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from bench.errors import BenchError
from bench.fleet import Fleet
from bench.measure import Usage, machine_cpu_seconds_now
from bench.options import Options
from bench.peers import Peer
from bench.plan import Collected, Plan, Seat, Shape
from bench.scenarios import Measured
from bench.tally import Tally

_BUSY_SHARE: Final = 0.95
"""From here on a load process counts as the bottleneck."""
_NOISE_SHARE: Final = 0.25
"""From here on, in cores, what others do spoils a run. The kernel's own part of it stays below."""


def plans_for(
    peer: Peer, seats: Sequence[Seat], shape: Shape | None, messages: int, options: Options
) -> list[Plan]:
    """A plan for each load process; there are no more than have two seats each."""
    cores = options.client_cores[: max(len(seats) // 2, 1)]
    base_ns = time.monotonic_ns()

    def process_of(seat: Seat) -> int:
        if shape is None:
            return seat.number % len(cores)
        return shape.process_of(seat.number, len(cores))

    return [
        Plan(
            address=peer.address,
            dialect=peer.dialect,
            seats=tuple(seat for seat in seats if process_of(seat) == process),
            shape=shape,
            messages=messages,
            rate=options.rate,
            size=options.size,
            base_ns=base_ns,
            patience_seconds=options.patience_seconds,
            process=process,
            processes=len(cores),
            core=core,
        )
        for process, core in enumerate(cores)
    ]


def measure(
    peer: Peer,
    seats: Sequence[Seat],
    shape: Shape,
    warm_up: int,
    messages: int,
    options: Options,
    account: Callable[[Collected], Tally],
    cpu_figure: str,
    *,
    is_per_delivery: bool,
) -> Measured:
    """Run one load.

    Args:
        account: the tally of the measured messages.
        cpu_figure: the name under which the server's CPU goes, in microseconds per delivery or
            per message.
    """
    end = warm_up + messages
    with Fleet(plans_for(peer, seats, shape, end, options)) as fleet:
        fleet.open(0, len(seats))
        if warm_up:
            _, ended = fleet.run(0, warm_up)
            if any(one.is_stalled for one in ended):
                raise BenchError(
                    f"nothing more arrived for {options.patience_seconds:g} s of the warm-up,"
                    " and not all had"
                )
        before, machine_before = Usage.of(peer.pids), machine_cpu_seconds_now()
        seconds, ended = fleet.run(warm_up, end)
        after, machine_after = Usage.of(peer.pids), machine_cpu_seconds_now()
        collected = fleet.collect(warm_up)
    tally = account(collected)
    sent = len(collected.sent)
    tally.unacked = sent - len(collected.acks)
    cpu = after.cpu_seconds - before.cpu_seconds
    client_share = max(one.cpu_share for one in ended)
    clients = sum(one.cpu_share for one in ended)
    others = (machine_after - machine_before - cpu) / seconds - clients
    figures = {
        cpu_figure: cpu * 1e6 / max(tally.delivered if is_per_delivery else sent, 1),
        "messages_per_second": sent / seconds,
        "deliveries_per_second": tally.delivered / seconds,
        **{f"latency_{k}_ms": v for k, v in collected.latencies.summary_ms().items()},
        **{f"ack_{k}_ms": v for k, v in collected.acks.summary_ms().items()},
        "server_cpu_percent": cpu / seconds * 100,
        "client_cpu_percent": client_share * 100,
        "other_cpu_percent": max(others, 0) * 100,
        "rss_mb": after.rss_kb / 1024,
    }
    notes = []
    if client_share >= _BUSY_SHARE:
        notes.append(
            "the load client was the bottleneck: its CPU was full, so latencies are partly its own;"
            " more --client-core or fewer in flight help"
        )
    if others >= _NOISE_SHARE:
        notes.append(
            "other processes of this machine were busy: latencies and rates are partly theirs"
        )
    if any(one.is_stalled for one in ended):
        notes.append(
            f"stopped after {sent:,} messages, because nothing more arrived for"
            f" {options.patience_seconds:g} s; rates and shares of CPU are of no use"
        )
    return Measured(figures, tally, notes)
