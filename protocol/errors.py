"""Error codes: what an ERROR frame (or an HTTP problem) may say, as one table.

An error answers one request; the connection stays open. Reasons to close are in `close.py`.
"""

from enum import StrEnum
from typing import Final, NamedTuple


class ErrorCode(StrEnum):
    MALFORMED_FRAME = "MALFORMED_FRAME"
    UNKNOWN_TYPE = "UNKNOWN_TYPE"
    INVALID_FIELD = "INVALID_FIELD"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    WRONG_CREDENTIALS = "WRONG_CREDENTIALS"
    FORBIDDEN = "FORBIDDEN"
    NOT_A_MEMBER = "NOT_A_MEMBER"
    BLOCKED = "BLOCKED"
    NO_SUCH_USER = "NO_SUCH_USER"
    NO_SUCH_MESSAGE = "NO_SUCH_MESSAGE"
    USERNAME_TAKEN = "USERNAME_TAKEN"
    WEAK_PASSWORD = "WEAK_PASSWORD"
    ALREADY_A_MEMBER = "ALREADY_A_MEMBER"
    GROUP_FULL = "GROUP_FULL"
    LAST_ADMIN = "LAST_ADMIN"
    INVITE_EXPIRED = "INVITE_EXPIRED"
    VERSION_CONFLICT = "VERSION_CONFLICT"
    CLIENT_MSG_ID_REUSED = "CLIENT_MSG_ID_REUSED"
    TOO_LARGE = "TOO_LARGE"
    RATE_LIMITED = "RATE_LIMITED"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


class ErrorInfo(NamedTuple):
    """One row: the HTTP status of the same failure, whether trying again may help, and
    when it is issued."""

    http_status: int
    temporary: bool
    when: str


ERRORS: Final[dict[ErrorCode, ErrorInfo]] = {
    ErrorCode.MALFORMED_FRAME: ErrorInfo(
        400, False, "the message is not one JSON object in a text message"
    ),
    ErrorCode.UNKNOWN_TYPE: ErrorInfo(
        400, False, "no request has this `type`, or not on this socket"
    ),
    ErrorCode.INVALID_FIELD: ErrorInfo(
        422, False, "a field is missing or wrong; the message names it"
    ),
    ErrorCode.UNAUTHENTICATED: ErrorInfo(
        401, False, "no token, or one that is expired, revoked or not ours"
    ),
    ErrorCode.WRONG_CREDENTIALS: ErrorInfo(
        401, False, "no account has this username with this password"
    ),
    ErrorCode.FORBIDDEN: ErrorInfo(403, False, "the caller may not do this"),
    ErrorCode.NOT_A_MEMBER: ErrorInfo(
        403, False, "the caller is not in the conversation, or it does not exist"
    ),
    ErrorCode.BLOCKED: ErrorInfo(403, False, "one of the two users has blocked the other"),
    ErrorCode.NO_SUCH_USER: ErrorInfo(404, False, "no account has this username"),
    ErrorCode.NO_SUCH_MESSAGE: ErrorInfo(
        404, False, "the conversation has no message with this id, or it was deleted"
    ),
    ErrorCode.USERNAME_TAKEN: ErrorInfo(
        409, False, "the username is, or once was, another account's"
    ),
    ErrorCode.WEAK_PASSWORD: ErrorInfo(
        422, False, "the password is shorter than 8 or longer than 72 bytes"
    ),
    ErrorCode.ALREADY_A_MEMBER: ErrorInfo(409, False, "the user is already in the group"),
    ErrorCode.GROUP_FULL: ErrorInfo(
        409, False, "the group has as many members as a group may have"
    ),
    ErrorCode.LAST_ADMIN: ErrorInfo(
        409, False, "the only admin may not leave, or be no admin, while others remain"
    ),
    ErrorCode.INVITE_EXPIRED: ErrorInfo(
        409, False, "the invite is used up, expired, revoked or unknown"
    ),
    ErrorCode.VERSION_CONFLICT: ErrorInfo(
        409, False, "the thing was changed by somebody else meanwhile"
    ),
    ErrorCode.CLIENT_MSG_ID_REUSED: ErrorInfo(
        409, False, "this clientMsgId was used for another body"
    ),
    ErrorCode.TOO_LARGE: ErrorInfo(
        413, False, "a field or list is over its limit; the message names both"
    ),
    ErrorCode.RATE_LIMITED: ErrorInfo(
        429, True, "too many requests; retryAfterMs says how long to wait"
    ),
    ErrorCode.UNAVAILABLE: ErrorInfo(
        503,
        True,
        "a backend failed: not acked, the outcome may be unknown;"
        " send again with the same clientMsgId",
    ),
    ErrorCode.INTERNAL: ErrorInfo(
        500, False, "a bug; the message carries the incident id found in the log"
    ),
}
