"""Rules that several services share about who is asking."""

from chatd.auth import Principal
from chatd.errors import ChatError
from protocol.errors import ErrorCode


def check_identity(principal: Principal, from_: str | None) -> None:
    """`from` may be left out; it cannot make anybody somebody else.

    Raises:
        ChatError: FORBIDDEN.
    """
    if from_ is not None and from_ != principal.username:
        raise ChatError(ErrorCode.FORBIDDEN, f"`from`: this connection is {principal.username}'s")


def not_a_member() -> ChatError:
    """The same answer for a conversation one is not in and for one that does not exist."""
    return ChatError(ErrorCode.NOT_A_MEMBER, "there is no such conversation that you are in")
