"""Errors over HTTP: application/problem+json (RFC 9457) with the codes of the frames."""

import re
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from loguru import logger

from chatd.dispatch import new_incident
from chatd.errors import BackendError, ChatError, unavailable
from protocol.errors import ERRORS, ErrorCode

_MISSING = re.compile(r"missing required field `(?P<name>[^`]*)`")
MEDIA_TYPE = "application/problem+json"
_STATUS_CODES = {
    400: ErrorCode.MALFORMED_FRAME,
    401: ErrorCode.UNAUTHENTICATED,
    403: ErrorCode.FORBIDDEN,
    413: ErrorCode.TOO_LARGE,
    429: ErrorCode.RATE_LIMITED,
    503: ErrorCode.UNAVAILABLE,
}


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    title: str
    status: int
    detail: str
    code: str | None = None
    type: str = "about:blank"


def problem(error: ChatError) -> Response[bytes]:
    headers = {"Cache-Control": "no-store"}
    if error.retry_after_ms is not None:
        headers["Retry-After"] = str(-(-error.retry_after_ms // 1000))
    if error.code is ErrorCode.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = "Bearer"
    body = Problem(
        title=ERRORS[error.code].when,
        status=error.http_status,
        detail=error.message,
        code=error.code,
    )
    return _response(body, headers)


def on_chat_error(_: Request[Any, Any, Any], error: ChatError) -> Response[bytes]:
    return problem(error)


def on_backend_error(_: Request[Any, Any, Any], error: BackendError) -> Response[bytes]:
    logger.warning("a backend failed: {}", error)
    return problem(unavailable("the outcome is unknown; try again"))


def on_http_exception(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """What the framework itself refuses: unknown paths, wrong methods, bodies that do not fit."""
    if isinstance(error, ValidationException):
        return problem(ChatError(ErrorCode.INVALID_FIELD, _named_fields(error)))
    code = _STATUS_CODES.get(error.status_code)
    return _response(
        Problem(title=error.detail, status=error.status_code, detail=error.detail, code=code), {}
    )


def on_bug(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    incident = new_incident(error)
    return problem(ChatError(ErrorCode.INTERNAL, f"an error of the server, incident {incident}"))


def _named_fields(error: ValidationException) -> str:
    extra = error.extra if isinstance(error.extra, list) else []
    return "; ".join(_named_field(item) for item in extra if isinstance(item, dict)) or error.detail


def _named_field(item: dict[str, Any]) -> str:
    message = str(item.get("message", ""))
    missing = _MISSING.search(message)
    if missing is not None:
        return f"`{missing['name']}` is required"
    return f"`{item.get('key', 'body')}`: {message}"


def _response(body: Problem, headers: dict[str, str]) -> Response[bytes]:
    # Encoded here: omitting `type` would be allowed, but clients are used to finding it.
    content = msgspec.json.encode(msgspec.to_builtins(body) | {"type": body.type})
    return Response(content, status_code=body.status, headers=headers, media_type=MEDIA_TYPE)
