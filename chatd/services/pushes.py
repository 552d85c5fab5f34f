"""Pushes: a user who is away is told by a webhook that something waits in a conversation.

What is sent holds ids and numbers, never a text, and what it says was so when it was sent. The id
of a push is made of what it says: a repeat has the same one, and a receiver can tell.
"""

import hashlib
from collections.abc import Collection
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec
from loguru import logger

from chatd import webhook_signature
from chatd.clock import Clock
from chatd.fabric.offline_queue import PushJob, TryAgain
from chatd.fabric.presence_leases import PresenceLeases
from chatd.fabric.webhook_sender import AddressRefused, WebhookSender
from chatd.metrics import Metrics
from chatd.services.mailboxes import online_of
from chatd.services.overviews import Overview, Overviews
from chatd.stores.conversation_store import ConversationKind
from chatd.stores.webhook_store import Webhook, WebhookStore

_GONE: Final = 410
_LATER: Final = frozenset({408, 425, 429})
_ID_BYTES: Final = 16


class OurWebhook(NamedTuple):
    """The operator's, for the users who have none of their own."""

    url: str
    secret: str


class Push(msgspec.Struct, frozen=True, rename="camel", tag_field="event", tag="offline"):
    """The body: events `first` to `last` of a conversation have not reached the user."""

    conversation_id: str
    kind: ConversationKind
    username: str
    first: int
    last: int
    unread: int | str
    """Messages of others that the user has not read; "100+" for more than 100."""


class Pushes:
    def __init__(
        self,
        overviews: Overviews,
        leases: PresenceLeases,
        webhooks: WebhookStore,
        sender: WebhookSender,
        clock: Clock,
        metrics: Metrics,
        ours: OurWebhook | None,
    ) -> None:
        self._overviews = overviews
        self._leases = leases
        self._webhooks = webhooks
        self._sender = sender
        self._clock = clock
        self._metrics = metrics
        self._ours = ours

    async def wanting(self, usernames: Collection[str]) -> Collection[str]:
        """Those of the users whom a webhook is told of. Raises BackendError."""
        return usernames if self._ours is not None else await self._webhooks.having(usernames)

    async def push(self, job: PushJob) -> None:
        """Tell the user's webhook what waits in the conversation, if the user is still away and
        something does. May be repeated.

        Raises:
            BackendError: a store or the leases failed.
            TryAgain: the webhook cannot be told now.
        """
        username, conversation_id = job
        own = await self._webhooks.get(username)
        if own is None and self._ours is None:
            return
        if await online_of(self._leases, [username]):
            return
        overview = await self._overviews.one(conversation_id, username)
        push = None if overview is None else _push_of(overview, username)
        if push is not None:
            await self._send(push, own)

    async def _send(self, push: Push, own: Webhook | None) -> None:
        webhook = own or self._ours
        assert webhook is not None
        body = msgspec.json.encode(push)
        headers = webhook_signature.headers(
            webhook.secret, _id_of(push), self._clock.now_ms() // 1000, body
        )
        host = urlsplit(webhook.url).hostname
        try:
            status = await self._sender.post(webhook.url, body, headers, is_trusted=own is None)
        except AddressRefused:
            self._refused(push, f"{host} has no public address")
            return
        if 200 <= status < 300:
            self._metrics.pushes += 1
            return
        if status in _LATER or status >= 500:
            raise TryAgain(f"{host} answered {status}")
        if status == _GONE and own is not None:
            # Only the one that said so: the user may have another by now.
            await self._webhooks.remove(push.username, own)
        self._refused(push, f"{host} answered {status}")

    def _refused(self, push: Push, reason: str) -> None:
        self._metrics.pushes_refused += 1
        logger.warning(
            "a push to {} about {} was refused: {}", push.username, push.conversation_id, reason
        )


def _push_of(overview: Overview, username: str) -> Push | None:
    """None when nothing waits that somebody else has said."""
    summary, tail = overview
    membership = summary.membership
    if membership.delivered >= summary.head or not tail.unread:
        return None
    return Push(
        membership.conversation_id,
        membership.kind,
        username,
        membership.delivered + 1,
        summary.head,
        overview.unread,
    )


def _id_of(push: Push) -> str:
    said = f"{push.username} {push.conversation_id} {push.first} {push.last}".encode()
    digest = hashlib.blake2b(said, digest_size=_ID_BYTES, person=b"chatd webhook id")
    return f"msg_{digest.hexdigest()}"
