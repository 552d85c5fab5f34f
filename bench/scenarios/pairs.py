"""Direct messages: in every pair one user writes to the other, one message in flight each."""

from bench.options import Options
from bench.peers import Peer
from bench.plan import Collected
from bench.scenarios import Measured
from bench.scenarios.traffic import measure
from bench.shapes import PairsShape
from bench.tally import Tally, tally_pairs

NAME = "pairs"


def title(options: Options) -> str:
    load = f"{options.rate:g} messages/s" if options.rate else "one in flight each"
    return (
        f"{options.pairs:,} pairs, {load}, {options.messages:,} messages of {options.size:,} bytes"
    )


def run(peer: Peer, options: Options) -> Measured:
    shape = PairsShape(options.pairs)

    def account(collected: Collected) -> Tally:
        return tally_pairs(collected.received, collected.sent, shape.recipient)

    return measure(
        peer,
        peer.pair_seats(options.pairs),
        shape,
        options,
        account,
        "cpu_us_per_message",
        is_per_delivery=False,
    )
