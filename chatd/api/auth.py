"""Register, log in, refresh, log out: under `/api/auth` and, the same, under `/auth`."""

from typing import Any

import msgspec
from litestar import Request, Router, post

from chatd.api.context import ApiContext
from chatd.api.principal import principal_of
from chatd.services.accounts import LoggedIn
from protocol.model import User


class RegisterBody(msgspec.Struct, frozen=True, rename="camel"):
    username: str
    password: str
    display_name: str | None = None


class LoginBody(msgspec.Struct, frozen=True, rename="camel"):
    username: str
    password: str
    device_name: str | None = None
    """As the user will find it in the list of devices."""


class RefreshBody(msgspec.Struct, frozen=True, rename="camel"):
    refresh_token: str


class LogoutBody(msgspec.Struct, frozen=True):
    all: bool = False
    """Log out every device of the user, not just the one that asks."""


class Session(msgspec.Struct, frozen=True, rename="camel"):
    """A log-in: the token for requests and sockets, and the one that renews it once."""

    token: str
    refresh_token: str
    expires_in: int
    user: User


def session(logged_in: LoggedIn) -> Session:
    """A log-in as clients are told it."""
    return Session(logged_in.token, logged_in.refresh_token, logged_in.expires_in, logged_in.user)


@post("/register", status_code=201)
async def register(data: RegisterBody, context: ApiContext) -> Session:
    """Make an account and log it in."""
    return session(await context.accounts.register(data.username, data.password, data.display_name))


@post("/login", status_code=200)
async def login(data: LoginBody, context: ApiContext) -> Session:
    """Log in on a new device."""
    return session(await context.accounts.log_in(data.username, data.password, data.device_name))


@post("/refresh", status_code=200)
async def refresh(data: RefreshBody, context: ApiContext) -> Session:
    """Exchange a refresh token, which works once, for a new token and a new refresh token."""
    return session(await context.accounts.refresh(data.refresh_token))


@post("/logout", status_code=204)
async def logout(
    request: Request[Any, Any, Any], context: ApiContext, data: LogoutBody | None = None
) -> None:
    """Revoke the token's device, or with `all` every device; their connections are closed."""
    await context.accounts.log_out(principal_of(request), everywhere=data is not None and data.all)


def routers() -> list[Router]:
    handlers = [register, login, refresh, logout]
    return [
        Router("/api/auth", route_handlers=handlers, tags=["auth"]),
        Router("/auth", route_handlers=handlers, tags=["auth"], include_in_schema=False),
    ]
