"""Port Bus: node-to-node broadcast, at most once.

What is published while nobody listens is gone, and a bus may drop, so nothing may depend on it for
truth: a listener that misses something must find it out elsewhere (the store, a poll, a lease).
"""

from collections.abc import Callable
from typing import Protocol

Listener = Callable[[bytes], None]
"""Called on the loop with each payload; must not block."""


class Bus(Protocol):
    async def subscribe(self, topic: str, listener: Listener) -> None:
        """Call `listener` with what is published on the topic from now on: by this node too."""
        ...

    async def unsubscribe(self, topic: str, listener: Listener) -> None:
        """Stop calling it. Nothing happens when it was not subscribed."""
        ...

    async def publish(self, topic: str, payload: bytes) -> None:
        """Tell every listener of every node. Payloads of one publisher and topic
        keep their order."""
        ...
