"""Two kinds of error: a ChatError may be shown to the client, a BackendError never is."""

from protocol.errors import ERRORS, ErrorCode


class ChatError(Exception):
    """A request cannot be carried out, for a reason the client may know."""

    def __init__(self, code: ErrorCode, message: str, *, retry_after_ms: int | None = None) -> None:
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms

    @property
    def temporary(self) -> bool:
        """Whether the same request may succeed later."""
        return ERRORS[self.code].temporary

    @property
    def http_status(self) -> int:
        return ERRORS[self.code].http_status

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class BackendError(Exception):
    """A store or the fabric failed. What was asked for may or may not have happened."""


class StartError(Exception):
    """The process cannot start; the message is one line that says what to do."""

    exit_code = 2


class BackendAway(StartError):
    """A backend was not there for as long as a start waits: the same start may succeed later."""

    exit_code = 1


def invalid_field(field: str, problem: str) -> ChatError:
    """INVALID_FIELD with the field's name first, as the codec words it."""
    return ChatError(ErrorCode.INVALID_FIELD, f"`{field}`: {problem}")


def no_such_user(username: str) -> ChatError:
    return ChatError(ErrorCode.NO_SUCH_USER, f"there is no user {username}")


def not_a_member() -> ChatError:
    """The same answer for a conversation one is not in and for one that does not exist."""
    return ChatError(ErrorCode.NOT_A_MEMBER, "there is no such conversation that you are in")


def unavailable(message: str = "not acked; send again with the same clientMsgId") -> ChatError:
    return ChatError(ErrorCode.UNAVAILABLE, message, retry_after_ms=1000)
