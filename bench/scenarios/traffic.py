"""The part that `group` and `pairs` share: warm up, measure, and give an account."""

import time
from collections.abc import Callable, Sequence

from bench.errors import BenchError
from bench.fleet import Fleet
from bench.options import Options
from bench.peers import Peer
from bench.plan import Collected, Plan, Seat, Shape
from bench.scenarios import Measured
from bench.tally import Tally
from bench.window import Window, Work


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
    warm_up, end = options.warm_up, options.warm_up + options.messages
    with Fleet(plans_for(peer, seats, shape, end, options)) as fleet:
        fleet.open(0, len(seats))
        run_warm_up(fleet, options)
        before = Work.of(peer)
        seconds, ended = fleet.run(warm_up, end)
        window = Window(before, Work.of(peer), seconds, tuple(one.cpu_share for one in ended))
        collected = fleet.collect(warm_up)
    tally = account(collected)
    sent = len(collected.sent)
    tally.unacked = sent - len(collected.acks)
    figures = {
        cpu_figure: window.server_seconds
        * 1e6
        / max(tally.delivered if is_per_delivery else sent, 1),
        **traffic_figures(collected, tally.delivered, seconds),
        **window.figures,
    }
    notes = window.notes(is_paced=bool(options.rate))
    if any(one.is_stalled for one in ended):
        notes.append(note_on_stop(sent, options))
    return Measured(figures, tally, notes)


def run_warm_up(fleet: Fleet, options: Options) -> None:
    """Send the messages that do not count.

    Raises:
        BenchError: not all arrived.
    """
    if not options.warm_up:
        return
    _, ended = fleet.run(0, options.warm_up)
    if any(one.is_stalled for one in ended):
        raise BenchError(
            f"nothing more arrived for {options.patience_seconds:g} s of the warm-up,"
            " and not all had"
        )


def traffic_figures(collected: Collected, delivered: int, seconds: float) -> dict[str, float]:
    """Rates and latencies."""
    return {
        "messages_per_second": len(collected.sent) / seconds,
        "deliveries_per_second": delivered / seconds,
        **{f"latency_{k}_ms": v for k, v in collected.latencies.summary_ms().items()},
        **{f"ack_{k}_ms": v for k, v in collected.acks.summary_ms().items()},
    }


def note_on_stop(sent: int, options: Options) -> str:
    return (
        f"stopped after {sent:,} messages, because nothing more arrived for"
        f" {options.patience_seconds:g} s; rates and shares of CPU are of no use"
    )
