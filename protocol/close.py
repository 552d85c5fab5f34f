"""Close codes: why the server closes a connection, and whether a client should come back.

RFC 6455 section 7.4 gives 4000-4999 to applications. Here the range is the rule: 4000-4499
reconnecting may help, 4500-4999 it does not.
"""

from enum import IntEnum
from typing import Final, NamedTuple


class CloseCode(IntEnum):
    BYE = 1000
    DRAIN = 1001
    PROTOCOL_ERROR = 1002
    NOT_UTF8 = 1007
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    SLOW_CONSUMER = 4008
    FLOODING = 4029
    TOKEN_EXPIRED = 4401
    TOKEN_REVOKED = 4501
    PROTOCOL_ABUSE = 4502


class CloseInfo(NamedTuple):
    reason: str
    may_reconnect: bool
    when: str


CLOSES: Final[dict[CloseCode, CloseInfo]] = {
    CloseCode.BYE: CloseInfo("bye", True, "the client sent DISCONNECT or closed"),
    CloseCode.DRAIN: CloseInfo("going away", True, "the node stops; reconnect with jitter"),
    CloseCode.PROTOCOL_ERROR: CloseInfo("protocol error", False, "the bytes are not RFC 6455"),
    CloseCode.NOT_UTF8: CloseInfo("not UTF-8", False, "a text message is not UTF-8"),
    CloseCode.TOO_BIG: CloseInfo(
        "message too big", False, "a message is over the frame limit of INFO"
    ),
    CloseCode.INTERNAL_ERROR: CloseInfo(
        "internal error", True, "a bug, or no pong within the time allowed"
    ),
    CloseCode.SLOW_CONSUMER: CloseInfo(
        "slow consumer", True, "the client reads slower than it is sent to"
    ),
    CloseCode.FLOODING: CloseInfo(
        "flooding", True, "the client sends faster than its limit for long"
    ),
    CloseCode.TOKEN_EXPIRED: CloseInfo(
        "token expired", True, "the token's `exp` has passed; refresh it first"
    ),
    CloseCode.TOKEN_REVOKED: CloseInfo(
        "token revoked", False, "the device was logged out, or the user banned"
    ),
    CloseCode.PROTOCOL_ABUSE: CloseInfo("protocol abuse", False, "ten malformed frames in a row"),
}


def may_reconnect(code: int) -> bool:
    """Whether a client should reconnect after this code, for codes of the table and
    unknown ones alike."""
    try:
        return CLOSES[CloseCode(code)].may_reconnect
    except ValueError:
        return not 4500 <= code <= 4999
