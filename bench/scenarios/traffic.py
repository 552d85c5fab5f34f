"""The part that scenarios share: warm up, measure, and give an account."""

import time
from collections.abc import Callable, Mapping, Sequence

from bench.errors import BenchError
from bench.fleet import Fleet
from bench.measure import Usage
from bench.options import Options
from bench.peers import Peer
from bench.plan import Collected, Plan, Seat
from bench.scenarios import Measured
from bench.shapes import Shape
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
            addresses=tuple(peer.addresses),
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
            opens_a_second=options.opens_a_second,
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
            per message, with what it does for them afterwards.
    """
    warm_up, end = options.warm_up, options.warm_up + options.messages
    with Fleet(plans_for(peer, seats, shape, end, options)) as fleet:
        fleet.open(0, len(seats))
        run_warm_up(fleet, options)
        peer.settle()
        counted, before = peer.counters(), Work.of(peer)
        seconds, ended = fleet.run(warm_up, end)
        window = Window(before, Work.of(peer), seconds, tuple(one.cpu_share for one in ended))
        cpu_seconds, counters = settled(peer, before, counted)
        collected = fleet.collect(warm_up)
    tally = account(collected)
    sent = len(collected.sent)
    tally.unacked = sent - len(collected.acks)
    figures = {
        cpu_figure: cpu_seconds * 1e6 / max(tally.delivered if is_per_delivery else sent, 1),
        **traffic_figures(collected, tally.delivered, seconds),
        **window.figures,
        **counters,
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


def settled(peer: Peer, before: Work, counted: Mapping[str, int]) -> tuple[float, dict[str, float]]:
    """Wait until everything is where it is to be; the CPU that the server has used for that in all,
    in seconds, and figures of what it counted: none of a peer that does not count.

    Args:
        before, counted: its work, and what it had counted, at the beginning.

    Raises:
        BenchError: it takes too long.
    """
    ended = time.monotonic()
    peer.settle()
    settled_seconds = time.monotonic() - ended
    cpu_seconds = Usage.of(peer.pids).cpu_seconds - before.server.cpu_seconds
    return cpu_seconds, _counter_figures(counted, peer.counters(), settled_seconds)


def _counter_figures(
    before: Mapping[str, int], after: Mapping[str, int], settled_seconds: float
) -> dict[str, float]:
    if not after:
        return {}

    def during(name: str) -> int:
        return after[f"chatd_{name}_total"] - before[f"chatd_{name}_total"]

    figures: dict[str, float] = {"events_per_commit": during("events") / max(during("commits"), 1)}
    if puts := during("history_puts"):
        figures |= {
            "events_per_put": during("history_events") / puts,
            "settled_seconds": settled_seconds,
            "gaps_filled": during("gaps_filled"),
            "bus_dropped": during("bus_dropped"),
        }
    return figures


def note_on_stop(sent: int, options: Options) -> str:
    return (
        f"stopped after {sent:,} messages, because nothing more arrived for"
        f" {options.patience_seconds:g} s; rates and shares of CPU are of no use"
    )
