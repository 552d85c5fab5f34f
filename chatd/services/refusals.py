"""Why the ledger refused an entry, in words that say what to do."""

from typing import Final

from chatd.errors import ChatError, no_such_user
from chatd.stores.ledger import Entry, Outcome
from protocol.errors import ERRORS, ErrorCode

_WORDS: Final[dict[ErrorCode, str]] = {
    ErrorCode.NOT_A_MEMBER: "there is no such conversation that you are in or may join",
    ErrorCode.ALREADY_A_MEMBER: "the user is already in the group",
    ErrorCode.GROUP_FULL: "the group is full",
    ErrorCode.LAST_ADMIN: "the group needs an admin; make somebody else one first",
    ErrorCode.CLIENT_MSG_ID_REUSED: "this clientMsgId was used for another message; use a new one",
    ErrorCode.UNAVAILABLE: "not acked; send again with the same clientMsgId",
    ErrorCode.NO_SUCH_MESSAGE: "the conversation has no message with this id",
}
_WITH_DETAIL: Final[dict[ErrorCode, str]] = {
    ErrorCode.NOT_A_MEMBER: "{} is not in the group",
    ErrorCode.BLOCKED: "{} and you: one has blocked the other",
    ErrorCode.FORBIDDEN: "only {} may do this",
    ErrorCode.VERSION_CONFLICT: "the message was edited meanwhile; it is at version {}",
    ErrorCode.TOO_LARGE: "{}",
}


def refusal(entry: Entry, outcome: Outcome) -> ChatError:
    """The error of an entry that was refused."""
    code = outcome.code
    assert code is not None
    if code is ErrorCode.NO_SUCH_USER:
        return no_such_user(outcome.detail)
    if outcome.detail and code in _WITH_DETAIL:
        words = _WITH_DETAIL[code].format(outcome.detail)
    else:
        words = _WORDS.get(code, ERRORS[code].when)
    wait = 1000 if ERRORS[code].temporary else None
    return ChatError(code, words, retry_after_ms=wait)
