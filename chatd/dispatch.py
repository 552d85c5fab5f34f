"""From a request to the service method that answers it, and from what a service
raises to the reply.

A request that appends to a conversation is handed to the journal at once and answered by a
callback, so that a connection's sends keep their order and share commits; any other is a coroutine
that the connection runs.
"""

import secrets
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from loguru import logger

from chatd.auth import Principal
from chatd.delivery import render
from chatd.delivery.outbox import Outbox
from chatd.errors import BackendError, ChatError, no_such_user, unavailable
from chatd.services.bootstrap import Bootstrap
from chatd.services.conversations import Conversations
from chatd.services.history import Histories
from chatd.services.messages import Messages
from chatd.services.presence import Presence
from chatd.stores.ledger import Done, Entry, Outcome
from protocol import pushes, requests
from protocol.errors import ERRORS, ErrorCode
from protocol.requests import Request

R = TypeVar("R", bound=Request)
Work = Coroutine[Any, Any, pushes.Reply]


class Caller(Protocol):
    """The connection that a request came by."""

    @property
    def principal(self) -> Principal: ...

    @property
    def outbox(self) -> Outbox: ...

    def reply(self, frame: pushes.Reply) -> None: ...

    def append_begun(self) -> None:
        """One more of its requests waits for the journal."""
        ...

    def append_done(self) -> None: ...


class Services(NamedTuple):
    messages: Messages
    conversations: Conversations
    histories: Histories
    bootstrap: Bootstrap
    presence: Presence


_REFUSALS: Final[dict[ErrorCode, str]] = {
    ErrorCode.NOT_A_MEMBER: "there is no such conversation that you are in or may join",
    ErrorCode.ALREADY_A_MEMBER: "the user is already in the group",
    ErrorCode.GROUP_FULL: "the group is full",
    ErrorCode.LAST_ADMIN: "you are the only admin; make somebody else one before you leave",
    ErrorCode.CLIENT_MSG_ID_REUSED: "this clientMsgId was used for another message; use a new one",
    ErrorCode.UNAVAILABLE: "not acked; send again with the same clientMsgId",
}


class Dispatcher:
    def __init__(self, services: Services) -> None:
        self._appends: dict[type[Request], Callable[[Principal, Any, Outbox, Done], None]] = {
            requests.OneToOneChat: services.messages.post_direct,
            requests.GroupChat: services.messages.post_group,
            requests.CreateGroup: services.conversations.create_group,
            requests.JoinGroup: services.conversations.join_group,
            requests.LeaveGroup: services.conversations.leave_group,
        }
        self._works: dict[type[Request], Callable[[Caller, Any], Work]] = {
            requests.GetOneToOneHistory: _with(services.histories.direct),
            requests.GetGroupChatHistory: _with(services.histories.group),
            requests.InitData: _with(services.bootstrap.init_data),
            requests.NewOneToOneChat: partial(_open_direct, services.conversations),
            requests.SubscribePresence: partial(_subscribe_presence, services.presence),
            requests.Ping: _pong,
        }

    def dispatch(self, caller: Caller, request: Request) -> Coroutine[Any, Any, None] | None:
        """Carry out a request. Either the reply is on its way when this returns, or what is
        returned, once run, sends it. Raises nothing."""
        username = caller.principal.username
        if request.from_ is not None and request.from_ != username:
            words = f"`from`: this connection is {username}'s"
            caller.reply(error_reply(ChatError(ErrorCode.FORBIDDEN, words), request.ref))
            return None
        append = self._appends.get(type(request))
        if append is None:
            return _answer(caller, request, self._works[type(request)])
        caller.append_begun()
        try:
            append(
                caller.principal, request, caller.outbox, partial(_appended, caller, request.ref)
            )
        except Exception as error:
            caller.append_done()
            caller.reply(error_reply(error, request.ref))
        return None


def error_reply(error: Exception, ref: str | None) -> pushes.Error:
    """The one place where an exception becomes a reply."""
    if isinstance(error, BackendError):
        logger.warning("a backend failed: {}", error)
        error = unavailable()
    if isinstance(error, ChatError):
        return pushes.Error(
            ref=ref,
            code=error.code,
            msg=error.message,
            temporary=error.temporary,
            retry_after_ms=error.retry_after_ms,
        )
    incident = new_incident(error)
    return pushes.Error(
        ref=ref,
        code=ErrorCode.INTERNAL,
        msg=f"an error of the server, incident {incident}",
        temporary=False,
    )


def new_incident(error: BaseException) -> str:
    """Log a bug under an id that can be told to a user."""
    incident = secrets.token_hex(6)
    logger.opt(exception=error).error("incident {}", incident)
    return incident


def refusal(entry: Entry, outcome: Outcome) -> ChatError:
    """Why the ledger refused an entry, in words."""
    assert outcome.code is not None
    if outcome.code is ErrorCode.NO_SUCH_USER:
        return no_such_user(outcome.detail)
    words = _REFUSALS.get(outcome.code, ERRORS[outcome.code].when)
    wait = 1000 if ERRORS[outcome.code].temporary else None
    return ChatError(outcome.code, words, retry_after_ms=wait)


def _appended(caller: Caller, ref: str | None, entry: Entry, outcome: Outcome) -> None:
    caller.append_done()
    if outcome.code is None:
        caller.reply(render.ack(entry, outcome, ref))
    else:
        caller.reply(error_reply(refusal(entry, outcome), ref))


async def _answer(caller: Caller, request: Request, work: Callable[[Caller, Any], Work]) -> None:
    try:
        reply = await work(caller, request)
    except Exception as error:
        reply = error_reply(error, request.ref)
    caller.reply(reply)


def _with(method: Callable[[Principal, R], Work]) -> Callable[[Caller, R], Work]:
    return lambda caller, request: method(caller.principal, request)


async def _open_direct(
    conversations: Conversations, caller: Caller, request: requests.NewOneToOneChat
) -> pushes.Success:
    chat_id = await conversations.open_direct(caller.principal, request)
    return pushes.Success(ref=request.ref, chat_id=chat_id)


async def _subscribe_presence(
    presence: Presence, caller: Caller, request: requests.SubscribePresence
) -> pushes.Success:
    await presence.subscribe(caller.principal, caller.outbox, request)
    return pushes.Success(ref=request.ref)


async def _pong(caller: Caller, request: requests.Ping) -> pushes.Pong:
    return pushes.Pong(ref=request.ref)
