"""Health and metrics."""

from ipaddress import ip_address, ip_network
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get

from chatd.api.context import ApiContext
from chatd.errors import ChatError
from chatd.metrics import exposition
from protocol.errors import ErrorCode


class Health(msgspec.Struct, frozen=True):
    status: str
    timestamp: Annotated[int, msgspec.Meta(description="milliseconds since the epoch")]


@get("/health", tags=["operations"])
async def health(context: ApiContext) -> Response[Health]:
    """200 while every socket of the process accepts connections, 503 otherwise."""
    accepts = context.all_roles_accept()
    body = Health("ok" if accepts else "draining", context.clock.now_ms())
    status = 200 if accepts else 503
    return Response(body, status_code=status)


@get("/metrics", tags=["operations"], media_type="text/plain")
async def metrics(request: Request[Any, Any, Any], context: ApiContext) -> str:
    """The counters as Prometheus text, for loopback and the networks of CHATD_METRICS_ALLOW."""
    address = ip_address(request.client.host) if request.client else None
    if address is None or not (
        address.is_loopback
        or any(address in ip_network(allowed) for allowed in context.metrics_allow)
    ):
        raise ChatError(
            ErrorCode.FORBIDDEN, "metrics are for loopback and the networks of CHATD_METRICS_ALLOW"
        )
    return exposition(context.metrics)
