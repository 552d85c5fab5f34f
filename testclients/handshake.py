"""Opening a socket: where the token goes, and what a refusal says."""

import asyncio
from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import quote, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Origin, Subprotocol

from protocol.pushes import Info
from testclients.errors import BadFrame, CannotConnect, words_of
from testclients.frames import decode
from testclients.http import read_problem

TokenBy = Literal["header", "subprotocol", "query"]

MAX_MESSAGE_BYTES: Final = 32 * 1024 * 1024
"""More than INIT_DATA with its last messages as long as they may be, however they are escaped."""
FRAMES_AHEAD: Final = 256
"""How many messages `websockets` holds undecoded before it stops reading the socket."""
CLOSE_SECONDS: Final = 5.0


async def open_socket(
    url: str,
    token: str | None,
    *,
    token_by: TokenBy,
    resume: bool,
    origin: str | None,
    headers: Mapping[str, str] | None,
    open_timeout: float,
    ping_interval: float | None,
) -> tuple[ClientConnection, Info]:
    """Connect and receive INFO; `ChatClient.connect` says what the arguments mean.

    Raises:
        CannotConnect: its words never hold the token.
        BadFrame: the first frame is not INFO.
    """
    extra = dict(headers or {})
    subprotocols: list[Subprotocol] | None = None
    target = _with_query(url, "resume=1") if resume else url
    if token is not None:
        if token_by == "header":
            extra["Authorization"] = f"Bearer {token}"
        elif token_by == "subprotocol":
            subprotocols = [Subprotocol("chat.v1"), Subprotocol(f"bearer.{token}")]
        else:
            target = _with_query(target, f"authToken={quote(token, safe='')}")
    try:
        ws = await connect(
            target,
            origin=None if origin is None else Origin(origin),
            subprotocols=subprotocols,
            additional_headers=extra,
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            max_queue=FRAMES_AHEAD,
            open_timeout=open_timeout,
            close_timeout=CLOSE_SECONDS,
            ping_interval=ping_interval,
            proxy=None,
        )
    except InvalidStatus as error:
        status = error.response.status_code
        code, detail = read_problem(bytes(error.response.body or b""))
        raise CannotConnect(
            url, " ".join(filter(None, (f"HTTP {status}", code, detail))), status, code
        ) from None
    except InvalidURI:
        raise CannotConnect(url, "not the address of a WebSocket") from None
    except TimeoutError:
        raise CannotConnect(url, f"no answer within {open_timeout:g} s") from None
    except OSError as error:
        raise CannotConnect(url, words_of(error)) from None
    except (InvalidHandshake, ConnectionClosed, EOFError) as error:
        raise CannotConnect(url, str(error)) from None
    try:
        return ws, await _first_frame(ws, url, open_timeout)
    except BaseException:
        ws.transport.abort()
        raise


async def _first_frame(ws: ClientConnection, url: str, seconds: float) -> Info:
    try:
        async with asyncio.timeout(seconds):
            frame = decode(await ws.recv(decode=False))
    except TimeoutError:
        raise CannotConnect(url, f"no INFO within {seconds:g} s") from None
    except ConnectionClosed:
        raise CannotConnect(
            url,
            f"closed before INFO: {ws.close_code} {ws.close_reason}".rstrip(),
            close_code=ws.close_code,
        ) from None
    if not isinstance(frame, Info):
        raise BadFrame(f"the first frame is {type(frame).__name__}, not INFO")
    return frame


def _with_query(url: str, parameter: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, parameter)))))
