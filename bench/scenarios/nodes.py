"""One group on two nodes: its members are spread over two processes on the same backends, and
write on both. Beside it the same group on one node."""

from bench.options import Options
from bench.peers.chatd import Chatd
from bench.scenarios import Measured, group

NAME = "nodes"
_NODES = 2


def title(options: Options) -> str:
    return f"{group.title(options)}, on {_NODES} nodes and on one"


def run_two(peer: Chatd, options: Options) -> Measured:
    """CPU and memory are those of both together."""
    peer.start_nodes(_NODES)
    return group.run(peer, options)


def run_one(peer: Chatd, options: Options) -> Measured:
    return group.run(peer, options)
