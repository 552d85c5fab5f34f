"""Accounts and the list of conversations over the HTTP API, with the standard library alone.

`server` is always the base URL.
"""

import asyncio
import http.client
from typing import Final, Literal, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import msgspec

from testclients.errors import CannotConnect, HttpFailed, words_of

TIMEOUT_SECONDS: Final = 10.0
MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""More than a page of conversations with their last messages, however these are escaped."""
CONVERSATIONS_PAGE: Final = 100

T = TypeVar("T")

# The sockets take no proxy from the environment either.
_opener: Final = build_opener(ProxyHandler({}))


class User(msgspec.Struct, frozen=True, rename="camel"):
    username: str
    display_name: str | None = None


class Login(msgspec.Struct, frozen=True, rename="camel"):
    """`expires_in` is in seconds; `refresh_token` works once."""

    token: str
    refresh_token: str
    expires_in: int
    user: User


class ListedConversation(msgspec.Struct, frozen=True, rename="camel"):
    """What a client has to know of a conversation to resume it."""

    id: str
    type: Literal["direct", "group"]
    last_seq: int
    delivered_seq: int


class ConversationPage(msgspec.Struct, frozen=True, rename="camel"):
    conversations: list[ListedConversation]
    next: str | None
    """The cursor of the page that follows; None on the last one."""


class _Problem(msgspec.Struct):
    code: str
    detail: str


def read_problem(body: bytes) -> tuple[str | None, str]:
    """Code and detail of a problem+json body; of any other, None and how it begins."""
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, body[:200].decode(errors="replace").strip()
    return problem.code, problem.detail


async def register(
    server: str, username: str, password: str, display_name: str | None = None
) -> Login:
    """Create an account, and log in with it.

    Raises:
        HttpFailed: for instance USERNAME_TAKEN or WEAK_PASSWORD.
        CannotConnect
    """
    account = {"username": username, "password": password}
    if display_name is not None:
        account["displayName"] = display_name
    return _read(await _post(server, "/api/auth/register", account, 201), Login)


async def login(server: str, username: str, password: str) -> Login:
    """Begin a device's login.

    Raises:
        HttpFailed: for instance WRONG_CREDENTIALS.
        CannotConnect
    """
    account = {"username": username, "password": password}
    return _read(await _post(server, "/api/auth/login", account, 200), Login)


async def refresh(server: str, refresh_token: str) -> Login:
    """New tokens for the same login.

    Raises:
        HttpFailed: for instance UNAUTHENTICATED.
        CannotConnect
    """
    body = {"refreshToken": refresh_token}
    return _read(await _post(server, "/api/auth/refresh", body, 200), Login)


async def logout(server: str, token: str, *, everywhere: bool = False) -> None:
    """End the login that `token` belongs to, or all of its user's.

    Raises:
        HttpFailed: for instance UNAUTHENTICATED.
        CannotConnect
    """
    await _post(server, "/api/auth/logout", {"all": True} if everywhere else {}, 204, token)


async def conversations(server: str, token: str, cursor: str | None = None) -> ConversationPage:
    """The user's most recent conversations, or those that follow the page with this `next`.

    Raises:
        HttpFailed: for instance UNAUTHENTICATED.
        CannotConnect
    """
    query = {"limit": f"{CONVERSATIONS_PAGE}"} | ({} if cursor is None else {"cursor": cursor})
    path = f"/api/conversations?{urlencode(query)}"
    return _read(await _call(server, "GET", path, 200, token), ConversationPage)


async def _post(
    server: str, path: str, content: object, success: int, token: str | None = None
) -> bytes:
    return await _call(server, "POST", path, success, token, msgspec.json.encode(content))


async def _call(
    server: str, method: str, path: str, success: int, token: str | None, body: bytes | None = None
) -> bytes:
    headers = {} if body is None else {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    url = server.rstrip("/") + path
    try:
        is_http = urlsplit(url).scheme in ("http", "https")
        request = Request(url, data=body, headers=headers, method=method)
    except ValueError:
        is_http = False
    if not is_http:
        raise CannotConnect(server, "not an HTTP address")
    status, answer = await asyncio.to_thread(_exchange, server, request)
    if status != success:
        raise HttpFailed(status, *read_problem(answer))
    return answer


def _exchange(server: str, request: Request) -> tuple[int, bytes]:
    """Status and body, whatever the status."""
    try:
        try:
            answer = _opener.open(request, timeout=TIMEOUT_SECONDS)
        except HTTPError as error:
            answer = error
        with answer:
            return answer.status, answer.read(MAX_BODY_BYTES)
    except URLError as error:
        words = words_of(error.reason) if isinstance(error.reason, OSError) else str(error.reason)
        raise CannotConnect(server, words) from None
    except TimeoutError:
        raise CannotConnect(server, f"no answer within {TIMEOUT_SECONDS:g} s") from None
    except OSError as error:
        raise CannotConnect(server, words_of(error)) from None
    except (http.client.HTTPException, ValueError) as error:
        raise CannotConnect(server, str(error) or type(error).__name__) from None


def _read(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HttpFailed(
            200, None, f"the answer is not what this client expects: {error}"
        ) from None
