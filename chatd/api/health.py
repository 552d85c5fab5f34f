"""Health, readiness and metrics."""

from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get

from chatd.api.context import ApiContext
from chatd.errors import ChatError
from chatd.metrics import exposition
from chatd.readiness import Answer
from protocol.errors import ErrorCode

Timestamp = Annotated[int, msgspec.Meta(description="milliseconds since the epoch")]


class Health(msgspec.Struct, frozen=True):
    status: str
    timestamp: Timestamp


class ReadyStatus(StrEnum):
    READY = "ready"
    DEGRADED = "degraded"
    """A backend is away without which the node does what it can."""
    NOT_READY = "not ready"


class BackendReport(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    is_up: bool
    latency_ms: float
    details: dict[str, Any] = {}
    error: str | None = None


class Ready(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    status: ReadyStatus
    timestamp: Timestamp
    roles: dict[str, bool] | None = None
    """Whether each socket of the process accepts connections. Like everything below, for loopback
    and the networks of CHATD_METRICS_ALLOW alone."""
    worker: int | None = None
    node: str | None = None
    backends: dict[str, BackendReport] | None = None
    warnings: list[str] | None = None


@get("/health", tags=["operations"])
async def health(context: ApiContext) -> Response[Health]:
    """200 while every socket of the process accepts connections, 503 otherwise."""
    accepts = all(context.accepting().values())
    body = Health("ok" if accepts else "draining", context.clock.now_ms())
    status = 200 if accepts else 503
    return Response(body, status_code=status)


@get("/livez", tags=["operations"])
async def livez(context: ApiContext) -> Health:
    """200 as long as the process answers."""
    return Health("ok", context.clock.now_ms())


@get(["/readyz", "/ready"], tags=["operations"])
async def readyz(request: Request[Any, Any, Any], context: ApiContext) -> Response[Ready]:
    """200 while the node can do its work, also without a backend that it can do without for a
    time; 503 otherwise. Each backend and its durability are told to loopback and the networks of
    CHATD_METRICS_ALLOW."""
    roles = context.accepting()
    answers = await context.readiness.answers()
    if not all(roles.values()) or context.readiness.lacks(answers):
        status = ReadyStatus.NOT_READY
    elif all(answer.is_up for answer in answers.values()):
        status = ReadyStatus.READY
    else:
        status = ReadyStatus.DEGRADED
    body = Ready(status, context.clock.now_ms())
    if _may_see_details(request, context):
        body = msgspec.structs.replace(
            body,
            roles=roles,
            worker=context.metrics.worker or None,
            node=context.node_id or None,
            backends={name: _report(answer) for name, answer in answers.items()},
            warnings=[text for answer in answers.values() for text in answer.warnings],
        )
    return Response(body, status_code=503 if status is ReadyStatus.NOT_READY else 200)


@get("/metrics", tags=["operations"], media_type="text/plain")
async def metrics(request: Request[Any, Any, Any], context: ApiContext) -> str:
    """The counters as Prometheus text, for loopback and the networks of CHATD_METRICS_ALLOW. Of
    several workers those of the one that answers."""
    if not _may_see_details(request, context):
        raise ChatError(
            ErrorCode.FORBIDDEN, "metrics are for loopback and the networks of CHATD_METRICS_ALLOW"
        )
    return exposition(context.metrics)


def _may_see_details(request: Request[Any, Any, Any], context: ApiContext) -> bool:
    address = ip_address(request.client.host) if request.client else None
    return address is not None and (
        address.is_loopback
        or any(address in ip_network(allowed) for allowed in context.metrics_allow)
    )


def _report(answer: Answer) -> BackendReport:
    return BackendReport(answer.is_up, answer.latency_ms, answer.details, answer.error)
