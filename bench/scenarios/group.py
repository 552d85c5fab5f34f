"""One group: every message goes to all members, a few are in flight over all."""

from bench.options import Options
from bench.peers import Peer
from bench.plan import Collected
from bench.scenarios import Measured
from bench.scenarios.traffic import measure
from bench.shapes import GroupShape
from bench.tally import Tally, tally_group

NAME = "group"


def title(options: Options) -> str:
    load = f"{options.rate:g} messages/s" if options.rate else f"{options.in_flight} in flight"
    return (
        f"group of {options.members:,}, {load}, {options.messages:,} messages"
        f" of {options.size:,} bytes"
    )


def run(peer: Peer, options: Options) -> Measured:
    shape = GroupShape(options.members, options.in_flight, peer.has_echo)

    def account(collected: Collected) -> Tally:
        return tally_group(collected.received, collected.sent, shape.sender, has_echo=peer.has_echo)

    return measure(
        peer,
        peer.group_seats(options.members),
        shape,
        options,
        account,
        "cpu_us_per_delivery",
        is_per_delivery=True,
    )
