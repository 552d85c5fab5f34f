"""The webhook of a user: where it wants to be told that something waits while it is away."""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from chatd import webhook_signature
from chatd.auth import Principal
from chatd.clock import Clock
from chatd.errors import invalid_field
from chatd.public_address import is_allowed
from chatd.stores.webhook_store import Webhook, WebhookStore

URL_CHARACTERS: Final = 2_000
SCHEMES: Final = frozenset({"http", "https"})


class Webhooks:
    """May raise BackendError."""

    def __init__(self, store: WebhookStore, clock: Clock, allow: Sequence[str]) -> None:
        """`allow` are networks that webhooks may lead to though they are not public."""
        self._store = store
        self._clock = clock
        self._allow = allow

    async def get(self, principal: Principal) -> Webhook | None:
        return await self._store.get(principal.username)

    async def put(self, principal: Principal, url: str) -> Webhook:
        """Set the caller's webhook, with a new secret.

        Raises:
            ChatError: INVALID_FIELD, the URL is none that may be called.
        """
        self._check(url)
        webhook = Webhook(url, webhook_signature.new_secret(), self._clock.now_ms())
        await self._store.put(principal.username, webhook)
        return webhook

    async def remove(self, principal: Principal) -> None:
        """Take the caller's webhook away; nothing happens when there is none."""
        await self._store.remove(principal.username)

    def _check(self, url: str) -> None:
        # What a name leads to is looked at when it is called: it may be another address by then.
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise invalid_field("url", "it is not a URL") from None
        if len(url) > URL_CHARACTERS:
            raise invalid_field("url", f"at most {URL_CHARACTERS} characters")
        if not url.isascii() or not url.isprintable() or " " in url:
            raise invalid_field("url", "it must be written in ASCII, without spaces")
        if parts.scheme not in SCHEMES or not host:
            raise invalid_field("url", "it must begin with https:// or http:// and name a host")
        if parts.username is not None or parts.password is not None:
            raise invalid_field("url", "it must hold no name and no password")
        if parts.fragment:
            raise invalid_field("url", "it must hold no fragment")
        if _is_address(host) and not is_allowed(host, self._allow):
            raise invalid_field("url", "its address is not public")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
