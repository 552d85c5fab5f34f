"""Port WebhookSender: one POST to a URL that a user or the operator chose."""

from collections.abc import Callable, Mapping
from typing import Protocol


class AddressRefused(Exception):
    """The URL leads to addresses that a user's webhook may not reach."""


class WebhookSender(Protocol):
    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, is_trusted: bool
    ) -> int:
        """Send the body, and return the status of the answer; redirects are not followed.

        The URL of who `is_trusted` may lead anywhere; any other one only to addresses that are
        public or allowed.

        Raises:
            TryAgain: there was no answer in time, or none could be had.
            AddressRefused
        """
        ...

    async def close(self) -> None: ...


class SenderOnDemand:
    """A WebhookSender that is made when it is used for the first time: its HTTP client takes
    megabytes, and most processes never send."""

    def __init__(self, make: Callable[[], WebhookSender]) -> None:
        self._make = make
        self._sender: WebhookSender | None = None

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, is_trusted: bool
    ) -> int:
        if self._sender is None:
            self._sender = self._make()
        return await self._sender.post(url, body, headers, is_trusted=is_trusted)

    async def close(self) -> None:
        if self._sender is not None:
            await self._sender.close()
