"""Everything the test clients raise on purpose.

ClientError
    CannotConnect    no connection: nobody listens, or the handshake was refused
    ConnectionLost   the connection is closed; `code` says why
        OutcomeUnknown   it was closed before a request that changes something was answered
    NotConnected     there is no connection now: nothing was sent
    OutboxFull       as many posts wait already as the outbox holds
    TooLarge         what was to be sent is more than a server takes
    RequestFailed    the server answered ERROR
    HttpFailed       the HTTP API answered with a status that is no success
    Overdue          nothing came in the time allowed (a TimeoutError too)
    BadFrame         the server sent something that is no frame of `protocol.pushes`
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from protocol.errors import ErrorCode


class ClientError(Exception):
    """Base of the tree."""


class CannotConnect(ClientError):
    """`http_status` is set when a server refused, `code` when it said why in problem+json;
    `close_code` when it took the connection and closed it before INFO."""

    def __init__(
        self,
        url: str,
        detail: str,
        http_status: int | None = None,
        code: str | None = None,
        *,
        close_code: int | None = None,
    ) -> None:
        self.url = url
        self.detail = detail
        self.http_status = http_status
        self.code = code
        self.close_code = close_code

    def __str__(self) -> str:
        return f"cannot connect to {self.url}: {self.detail}"


class ConnectionLost(ClientError):
    """`code` is the close code (`protocol.close`), 1006 when the connection was cut without one."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        reason = self.reason or ("cut off" if self.code == 1006 else "")
        return f"connection lost: {self.code} {reason}".rstrip()


class OutcomeUnknown(ConnectionLost):
    """The request was carried out, or was not: what came of it is seen in the events to come.

    It is not sent again by itself.
    """

    def __init__(self, request: str, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.request = request

    def __str__(self) -> str:
        return f"{self.request} may have been carried out, or not: {super().__str__()}"


class NotConnected(ClientError):
    def __str__(self) -> str:
        return "not connected: nothing was sent"


class OutboxFull(ClientError):
    def __init__(self, limit: int) -> None:
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.limit} messages wait to be sent, no more are taken"


class TooLarge(ClientError):
    def __init__(self, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return f"about {self.size} bytes, at most {self.limit} can be sent"


class RequestFailed(ClientError):
    """The ERROR that answered a request; the connection stays open."""

    def __init__(
        self, code: ErrorCode, msg: str, temporary: bool, retry_after_ms: int | None
    ) -> None:
        self.code = code
        self.msg = msg
        self.temporary = temporary
        self.retry_after_ms = retry_after_ms

    def __str__(self) -> str:
        return f"{self.code}: {self.msg}"


class HttpFailed(ClientError):
    """`code` and `detail` of the problem+json body; of another body, None and its beginning."""

    def __init__(self, status: int, code: str | None, detail: str) -> None:
        self.status = status
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code or f'HTTP {self.status}'}: {self.detail}"


class Overdue(ClientError, TimeoutError):
    pass


class BadFrame(ClientError):
    pass


def words_of(error: OSError) -> str:
    """What happened, without the addresses and numbers that some of these errors carry."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__


@contextmanager
def first_of_group() -> Iterator[None]:
    """Raises the first error of a TaskGroup instead of the group: its tasks fail by one cause."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
