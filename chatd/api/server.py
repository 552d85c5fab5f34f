"""The HTTP application, and its server on the loop of the daemon."""

import contextlib
import socket as sockets
from collections.abc import Generator, Sequence
from typing import Any, cast

import uvicorn
from litestar import Litestar, MediaType, Request, get
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.types import ASGIApp

from chatd import __version__
from chatd.api import auth, blocks, conversations, devices, docs_page, problems, webhooks
from chatd.api.context import ApiContext
from chatd.api.health import health, livez, metrics, readyz
from chatd.api.principal import Authentication
from chatd.errors import BackendError, ChatError

BODY_BYTES = 64 * 1024
REQUESTS_AT_ONCE = 2_000
"""Connections and requests; at the limit the answer is 503."""
_STOP_SECONDS = 5


@get("/openapi.json", include_in_schema=False)
async def openapi_json(request: Request[Any, Any, Any]) -> dict[str, Any]:
    return request.app.openapi_schema.to_schema()


@get("/docs", include_in_schema=False, media_type=MediaType.HTML)
async def docs(request: Request[Any, Any, Any]) -> str:
    return docs_page.render(request.app.openapi_schema.to_schema())


def application(context: ApiContext) -> ASGIApp:
    """The HTTP routes, behind the check of the token."""
    app = Litestar(
        route_handlers=[
            *auth.routers(),
            conversations.router(),
            blocks.router(),
            *devices.routers(),
            webhooks.router(),
            health,
            livez,
            readyz,
            metrics,
            openapi_json,
            docs,
        ],
        dependencies={"context": Provide(lambda: context, sync_to_thread=False)},
        exception_handlers={
            ChatError: problems.on_chat_error,
            BackendError: problems.on_backend_error,
            HTTPException: problems.on_http_exception,
            Exception: problems.on_bug,
        },
        openapi_config=OpenAPIConfig(
            title="chatd",
            version=__version__,
            description="Accounts and groups over HTTP; chat itself is on the WebSocket,"
            " see docs/protocol.md.",
            path="/unused",
            use_handler_docstrings=True,
            render_plugins=[],
        ),
        response_headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
        request_max_body_size=BODY_BYTES,
        logging_config=None,
    )
    return Authentication(app, context.accounts)


class HttpServer:
    """uvicorn as a part of this process: it leaves signals and the event loop to it."""

    def __init__(self, app: ASGIApp) -> None:
        config = uvicorn.Config(
            cast(Any, app),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_keep_alive=30,
            limit_concurrency=REQUESTS_AT_ONCE,
            timeout_graceful_shutdown=_STOP_SECONDS,
            h11_max_incomplete_event_size=BODY_BYTES,
        )
        self._server = _Uvicorn(config)

    @property
    def is_accepting(self) -> bool:
        return self._server.started and not self._server.should_exit

    async def serve(self, listeners: Sequence[sockets.socket]) -> None:
        """Serve on bound sockets until `stop`."""
        await self._server.serve(sockets=list(listeners))

    def stop(self) -> None:
        self._server.should_exit = True


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
