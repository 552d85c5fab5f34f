import pytest

from protocol import ErrorCode
from testclients.conversations import Ambiguous, UnknownGroup
from testclients.errors import (
    BadFrame,
    CannotConnect,
    ClientError,
    ConnectionLost,
    HttpFailed,
    Overdue,
    RequestFailed,
)
from testclients.http import read_problem
from testclients.lines import BadLine
from testclients.options import EXIT_NO_CONNECTION, EXIT_REFUSED, EXIT_USAGE
from testclients.terminal import exit_code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RequestFailed(ErrorCode.NO_SUCH_USER, "nobody", False, None), EXIT_REFUSED),
        (HttpFailed(401, "WRONG_CREDENTIALS", "no"), EXIT_REFUSED),
        (HttpFailed(502, None, "<html>"), EXIT_NO_CONNECTION),
        (CannotConnect("ws://host/", "HTTP 401", 401), EXIT_REFUSED),
        (CannotConnect("ws://host/", "HTTP 404", 404), EXIT_NO_CONNECTION),
        (CannotConnect("ws://host/", "Connection refused"), EXIT_NO_CONNECTION),
        (ConnectionLost(1006, ""), EXIT_NO_CONNECTION),
        (Overdue("no reply"), EXIT_NO_CONNECTION),
        (BadFrame("what"), EXIT_NO_CONNECTION),
        (BadLine("line 1"), EXIT_USAGE),
        (Ambiguous("two"), EXIT_USAGE),
        (UnknownGroup("none"), EXIT_REFUSED),
    ],
)
def test_every_failure_has_an_exit_code(error: ClientError, code: int) -> None:
    assert exit_code(error) == code


@pytest.mark.parametrize(
    ("body", "code", "detail"),
    [
        (b'{"status":401,"code":"WRONG_CREDENTIALS","detail":"no"}', "WRONG_CREDENTIALS", "no"),
        (b"<html>", None, "<html>"),
        (b'{"detail":"no code"}', None, '{"detail":"no code"}'),
        (b"[" * 100_000, None, "[" * 200),
        (b"\xff", None, "\ufffd"),
        (b"", None, ""),
    ],
)
def test_a_problem_is_read_from_any_body(body: bytes, code: str | None, detail: str) -> None:
    assert read_problem(body) == (code, detail)
