"""From a request to the service method that answers it, and from what a service
raises to the reply.

A request that appends to a conversation, or moves a cursor, is handed over at once and answered by
a callback, so that a connection's sends keep their order and share commits; any other is a
coroutine that the connection runs, one at a time, but for RESUME, which may take long and runs
beside the others.
"""

import secrets
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from loguru import logger

from chatd.auth import Principal
from chatd.delivery import render
from chatd.delivery.outbox import Outbox
from chatd.errors import BackendError, ChatError, unavailable
from chatd.services.bootstrap import Bootstrap
from chatd.services.changes import Changes
from chatd.services.conversations import Conversations
from chatd.services.history import Histories
from chatd.services.messages import Messages
from chatd.services.presence import Presence
from chatd.services.receipts import Receipts
from chatd.services.refusals import refusal
from chatd.services.resume import Resumes
from chatd.services.typing_status import TypingStatus
from chatd.stores.ledger import Done, Entry, Outcome
from protocol import pushes, requests
from protocol.errors import ErrorCode
from protocol.requests import Request

R = TypeVar("R", bound=Request)
Work = Coroutine[Any, Any, pushes.Reply | None]


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

    def run_beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Run what need not be done before the next request."""
        ...


class Services(NamedTuple):
    messages: Messages
    changes: Changes
    conversations: Conversations
    resumes: Resumes
    receipts: Receipts
    typing_status: TypingStatus
    histories: Histories
    bootstrap: Bootstrap
    presence: Presence


class Dispatcher:
    def __init__(self, services: Services) -> None:
        self._appends: dict[type[Request], Callable[[Principal, Any, Outbox, Done], None]] = {
            requests.OneToOneChat: services.messages.post_direct,
            requests.GroupChat: services.messages.post_group,
            requests.CreateGroup: services.conversations.create_group,
            requests.JoinGroup: services.conversations.join_group,
            requests.LeaveGroup: services.conversations.leave_group,
            requests.EditMessage: services.changes.edit,
            requests.DeleteMessage: services.changes.delete,
            requests.React: services.changes.react,
        }
        self._receipts = services.receipts
        self._works: dict[type[Request], Callable[[Caller, Any], Work]] = {
            requests.GetOneToOneHistory: _with(services.histories.direct),
            requests.GetGroupChatHistory: _with(services.histories.group),
            requests.InitData: _with(services.bootstrap.init_data),
            requests.NewOneToOneChat: partial(_open_direct, services.conversations),
            requests.SubscribePresence: partial(_subscribe_presence, services.presence),
            requests.Resume: partial(_resume, services.resumes),
            requests.Typing: partial(_typing, services.typing_status),
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
        if append is None and not isinstance(request, requests.Ack | requests.MarkRead):
            work = _answer(caller, request, self._works[type(request)])
            if isinstance(request, requests.Resume):
                caller.run_beside(work)
                return None
            return work
        caller.append_begun()
        try:
            if append is not None:
                done = partial(_appended, caller, request.ref)
                append(caller.principal, request, caller.outbox, done)
            else:
                assert isinstance(request, requests.Ack | requests.MarkRead)
                self._receipts.advance(
                    caller.principal,
                    request,
                    caller.outbox,
                    partial(_advanced, caller, request.ref),
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


def _appended(caller: Caller, ref: str | None, entry: Entry, outcome: Outcome) -> None:
    caller.append_done()
    if outcome.code is None:
        caller.reply(render.ack(entry, outcome, ref))
    else:
        caller.reply(error_reply(refusal(entry, outcome), ref))


def _advanced(caller: Caller, ref: str | None, error: ChatError | None) -> None:
    caller.append_done()
    if error is not None:
        caller.reply(error_reply(error, ref))
    elif ref is not None:
        caller.reply(pushes.Success(ref=ref))


async def _answer(caller: Caller, request: Request, work: Callable[[Caller, Any], Work]) -> None:
    # Who does not take what it is sent is not answered more: the socket's pace is its pace.
    await caller.outbox.drained()
    reply: pushes.Reply | None
    try:
        reply = await work(caller, request)
    except Exception as error:
        reply = error_reply(error, request.ref)
    if reply is not None:
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


async def _resume(resumes: Resumes, caller: Caller, request: requests.Resume) -> pushes.Success:
    return await resumes.resume(caller.principal, caller.outbox, request)


async def _typing(typing_status: TypingStatus, caller: Caller, request: requests.Typing) -> None:
    await typing_status.typing(caller.principal, request)
