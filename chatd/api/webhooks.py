"""Where the caller wants to be told that something waits while it is away:
`/api/users/me/webhook`."""

from typing import Any

import msgspec
from litestar import Request, Router, delete, get, put
from litestar.exceptions import NotFoundException

from chatd.api.context import ApiContext
from chatd.api.principal import principal_of


class WebhookBody(msgspec.Struct, frozen=True):
    url: str


class WebhookInfo(msgspec.Struct, frozen=True, rename="camel"):
    """Times in milliseconds since the epoch."""

    url: str
    created_at: int


class NewWebhook(msgspec.Struct, frozen=True, rename="camel"):
    """The secret that signs what is sent there is told this once."""

    url: str
    created_at: int
    secret: str


@get("/webhook")
async def get_webhook(request: Request[Any, Any, Any], context: ApiContext) -> WebhookInfo:
    """The caller's webhook, without its secret; 404 when there is none."""
    webhook = await context.webhooks.get(principal_of(request))
    if webhook is None:
        raise NotFoundException("you have no webhook; PUT sets one")
    return WebhookInfo(webhook.url, webhook.created_at)


@put("/webhook", status_code=200)
async def put_webhook(
    request: Request[Any, Any, Any], context: ApiContext, data: WebhookBody
) -> NewWebhook:
    """Set the caller's webhook. Every PUT makes a new secret; the one before is good no more."""
    webhook = await context.webhooks.put(principal_of(request), data.url)
    return NewWebhook(webhook.url, webhook.created_at, webhook.secret)


@delete("/webhook", status_code=204)
async def delete_webhook(request: Request[Any, Any, Any], context: ApiContext) -> None:
    """Take the caller's webhook away; nothing happens when there is none."""
    await context.webhooks.remove(principal_of(request))


def router() -> Router:
    return Router(
        "/api/users/me", route_handlers=[get_webhook, put_webhook, delete_webhook], tags=["users"]
    )
