"""Who asks over HTTP, decided before path, body and method are looked at."""

from typing import Any, Final, cast

from litestar import Request
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from chatd.api.problems import problem
from chatd.auth import Principal
from chatd.errors import BackendError, ChatError, unavailable
from chatd.services.accounts import Accounts
from protocol.errors import ErrorCode

_KEY: Final = "chatd.principal"
PUBLIC: Final = frozenset(
    {
        f"{prefix}/auth/{name}"
        for prefix in ("", "/api")
        for name in ("register", "login", "refresh")
    }
    | {"/health", "/livez", "/readyz", "/ready", "/metrics", "/openapi.json", "/docs"}
)
PUBLIC_PREFIXES: Final = ("/docs/",)


class Authentication:
    """ASGI middleware: a path that is not public needs a good token, whether there is
    something there or not."""

    def __init__(self, app: ASGIApp, accounts: Accounts) -> None:
        self._app = app
        self._accounts = accounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and not _is_public(scope["path"]):
            try:
                principal = await self._accounts.authenticate(_bearer(scope))
                cast(dict[str, Any], scope)[_KEY] = principal
            except ChatError as error:
                await _answer(error, scope, receive, send)
                return
            except BackendError:
                await _answer(
                    unavailable("accounts cannot be read now; try again"), scope, receive, send
                )
                return
        await self._app(scope, receive, send)


def principal_of(request: Request[Any, Any, Any]) -> Principal:
    """The caller of a path that is not public."""
    principal = cast(dict[str, Any], request.scope)[_KEY]
    assert isinstance(principal, Principal)
    return principal


def _is_public(path: str) -> bool:
    path = path.rstrip("/") or "/"
    return path in PUBLIC or path.startswith(PUBLIC_PREFIXES)


def _bearer(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer" and token.strip():
                return token.strip()
    raise ChatError(ErrorCode.UNAUTHENTICATED, "a token is required: log in at /api/auth/login")


async def _answer(error: ChatError, scope: Scope, receive: Receive, send: Send) -> None:
    await problem(error).to_asgi_response(None, Request(scope))(scope, receive, send)
