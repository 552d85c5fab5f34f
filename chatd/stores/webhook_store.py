"""Port WebhookStore: the URL that a user wants to be told at while it is away.

Guarantees: what a method that writes has returned is durable. Every method may raise BackendError;
what a write asked for may then have happened or not.
"""

from collections.abc import Collection
from typing import NamedTuple, Protocol


class Webhook(NamedTuple):
    url: str
    secret: str
    created_at: int
    """Milliseconds since the epoch."""


class WebhookStore(Protocol):
    async def put(self, username: str, webhook: Webhook) -> None:
        """Give the user this webhook, instead of the one that it had."""
        ...

    async def get(self, username: str) -> Webhook | None: ...

    async def remove(self, username: str, webhook: Webhook | None = None) -> bool:
        """Take the user's webhook away, or only this one; False when there was none."""
        ...

    async def having(self, usernames: Collection[str]) -> set[str]:
        """Those of the users who have a webhook."""
        ...
