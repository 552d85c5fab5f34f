"""Delivered cursors: how far each user has received each conversation."""

from collections.abc import Mapping

from chatd.metrics import Metrics
from chatd.services.gather import Gather
from chatd.stores.conversation_store import ConversationStore


class Receipts:
    """Cursors are gathered for a moment; what a crash loses is sent again and
    recognised by its id."""

    def __init__(self, conversations: ConversationStore, metrics: Metrics) -> None:
        self._gather: Gather[tuple[str, str]] = Gather(
            conversations.advance_delivered, "delivered cursors"
        )
        self._metrics = metrics

    def delivered(self, username: str, cursors: Mapping[str, int]) -> None:
        """Everything up to these numbers, by conversation, has reached the user."""
        for conversation_id, seq in cursors.items():
            self._gather.put((conversation_id, username), seq)
        self._metrics.cursors_waiting = len(self._gather)

    def known(self, conversation_id: str, username: str, stored: int) -> int:
        """The delivered cursor, where `stored` is what the store says: a user who comes back at
        once is not sent again what it has."""
        return max(stored, self._gather.waiting((conversation_id, username)))

    async def drain(self) -> None:
        await self._gather.drain()
