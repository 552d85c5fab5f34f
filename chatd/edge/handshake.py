"""What an upgrade request says: who asks, from which page, for which path. Decides
nothing about accounts."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from websockets.datastructures import Headers, MultipleValuesError
from websockets.http11 import Request

SUBPROTOCOL: Final = "chat.v1"
QUERY_FIELDS: Final = 20
"""A longer query is not looked at."""
_BEARER_SUBPROTOCOL: Final = "bearer."
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1"})


class Refused(Exception):
    """The upgrade is answered with this HTTP status instead."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        self.status = status
        self.text = text


class Knock(NamedTuple):
    token: str
    subprotocol: str | None
    """What the client must be answered as selected: never the token."""
    resumes: bool = False
    """With `?resume=1`: nothing of a conversation is sent before the client's RESUME."""


def read(request: Request, allowed_origins: Sequence[str]) -> Knock:
    """The token of an upgrade request, from the `Authorization` header, a `bearer.`
    subprotocol or the query.

    Raises:
        Refused: 404 for another path, 403 for a foreign Origin, 401 without a token, 400
            for doubled headers.
    """
    try:
        return _read(request.path, request.headers, allowed_origins)
    except MultipleValuesError as error:
        raise Refused(
            HTTPStatus.BAD_REQUEST, f"the header {error} was sent more than once"
        ) from None


def _read(target: str, headers: Headers, allowed_origins: Sequence[str]) -> Knock:
    path, _, query = target.partition("?")
    if path != "/":
        raise Refused(HTTPStatus.NOT_FOUND, "the WebSocket is at the path /")
    origin = headers.get("Origin")
    if origin is not None and not origin_allowed(origin, headers.get("Host"), allowed_origins):
        raise Refused(
            HTTPStatus.FORBIDDEN, "pages of this origin may not connect; see CHATD_ALLOWED_ORIGINS"
        )
    offered = [
        name.strip()
        for value in headers.get_all("Sec-WebSocket-Protocol")
        for name in value.split(",")
    ]
    token = _bearer(headers.get("Authorization"))
    if not token:
        token = next(
            (
                name.removeprefix(_BEARER_SUBPROTOCOL)
                for name in offered
                if name.startswith(_BEARER_SUBPROTOCOL)
            ),
            "",
        )
    asked = parse_qs(query, max_num_fields=QUERY_FIELDS) if _is_short(query) else {}
    if not token:
        token = asked.get("authToken", [""])[0]
    if not token:
        raise Refused(HTTPStatus.UNAUTHORIZED, "a token is required: log in at /api/auth/login")
    subprotocol = SUBPROTOCOL if SUBPROTOCOL in offered else None
    return Knock(token, subprotocol, asked.get("resume", ["0"])[0] == "1")


def _is_short(query: str) -> bool:
    return bool(query) and query.count("&") < QUERY_FIELDS


def origin_allowed(origin: str, host: str | None, allowed_origins: Sequence[str]) -> bool:
    """Whether a browser page of this origin may connect.

    Without a list these may, on any port: pages of the name that the request itself was sent to,
    and of this machine. With a list, those on it, compared as a whole.
    """
    if allowed_origins:
        return origin in allowed_origins
    try:
        name = urlsplit(origin).hostname
        own = urlsplit(f"//{host}").hostname if host else None
    except ValueError:
        return False
    return name is not None and (name in _LOCAL_NAMES or name == own)


def _bearer(authorization: str | None) -> str:
    if authorization is None:
        return ""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
