"""Port Bus: node-to-node broadcast, at most once.

What is published while nobody listens is gone, and a bus may drop, repeat nothing and lose its
connection, so nothing may depend on it for truth: a listener that misses something must find it out
elsewhere (the store, a poll, a lease).
"""

from collections.abc import Callable, Collection
from typing import Protocol

Listener = Callable[[str, bytes], None]
"""Called on the loop with topic and payload; must not block."""


class Bus(Protocol):
    is_shared: bool
    """Whether other nodes may be on it."""
    is_connected: bool
    reconnected: Callable[[], None] | None
    """Told when the bus is back after it was lost: what was published meanwhile is gone."""

    async def subscribe(self, topics: Collection[str], listener: Listener) -> None:
        """Call `listener` with what is published on the topics from now on, by this node too.
        Returns when every subscription is confirmed; or, when the bus is down, soon, and they are
        made when it is back."""
        ...

    def unsubscribe(self, topics: Collection[str], listener: Listener) -> None:
        """Stop calling it. Nothing happens for a topic that was not subscribed."""
        ...

    def publish(self, topic: str, payload: bytes) -> None:
        """Tell every listener of every node, at the end of this turn of the loop. Payloads of one
        publisher and topic keep their order. What cannot be sent is dropped and counted."""
        ...
