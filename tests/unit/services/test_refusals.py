"""chatd.services.refusals"""

import pytest

from chatd.services.refusals import refusal
from chatd.stores.ledger import Outcome
from protocol.errors import ERRORS, ErrorCode
from tests.support.builders import post

ENTRY = post("7", "alice")


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_has_words(code: ErrorCode) -> None:
    error = refusal(ENTRY, Outcome(code))
    assert error.code is code
    assert error.message and "{" not in error.message
    assert (error.retry_after_ms is not None) is ERRORS[code].temporary


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        (ErrorCode.NO_SUCH_USER, "bob"),
        (ErrorCode.NOT_A_MEMBER, "bob"),
        (ErrorCode.BLOCKED, "bob"),
        (ErrorCode.FORBIDDEN, "its author and admins"),
        (ErrorCode.VERSION_CONFLICT, "3"),
        (ErrorCode.TOO_LARGE, "a message has at most 200 reactions"),
    ],
)
def test_whom_or_what_it_is_about_is_named(code: ErrorCode, detail: str) -> None:
    assert detail in refusal(ENTRY, Outcome(code, detail)).message
