"""Posting: the rules a message must pass, then the journal."""

from typing import Final

from chatd import ids
from chatd.auth import Principal
from chatd.clock import Clock
from chatd.delivery.outbox import Outbox
from chatd.errors import ChatError, invalid_field
from chatd.events import EventKind, MessageBody
from chatd.services.gate import Gate
from chatd.stores.ledger import Done, Entry
from protocol import limits
from protocol.errors import ErrorCode
from protocol.requests import GroupChat, OneToOneChat, Post

_BYTES_PER_CHAR_MAX: Final = 4


class Messages:
    def __init__(self, gate: Gate, clock: Clock) -> None:
        self._gate = gate
        self._clock = clock
        self._nonces = ids.Nonces()

    def post_direct(
        self, principal: Principal, request: OneToOneChat, origin: Outbox | None, done: Done
    ) -> None:
        """Post to another user; `done` gets the outcome. The connection `origin`
        gets no event of it.

        Raises:
            ChatError: the request breaks a rule that needs no look at the store.
        """
        sender = principal.username
        if request.to == sender:
            raise invalid_field("to", "one cannot write to oneself")
        conversation_id = ids.direct_id(sender, request.to)
        if request.chat_id is not None and request.chat_id != conversation_id:
            raise invalid_field("chatId", f"the chat with {request.to} is {conversation_id}")
        self._submit(
            EventKind.DIRECT_MESSAGE, conversation_id, sender, request, request.to, origin, done
        )

    def post_group(
        self, principal: Principal, request: GroupChat, origin: Outbox | None, done: Done
    ) -> None:
        """Post to a group; as `post_direct`."""
        self._submit(
            EventKind.GROUP_MESSAGE,
            request.group_id,
            principal.username,
            request,
            None,
            origin,
            done,
        )

    def _submit(
        self,
        kind: EventKind,
        conversation_id: str,
        sender: str,
        request: Post,
        to: str | None,
        origin: Outbox | None,
        done: Done,
    ) -> None:
        check_post(request, conversation_id)
        body = MessageBody(
            content=request.content,
            to=to,
            client_msg_id=request.client_msg_id,
            reply_to=request.reply_to,
            mentions=request.mentions or None,
        )
        entry = Entry(
            conversation_id,
            kind,
            sender,
            body,
            self._nonces.new(),
            self._clock.now_ms(),
            key=request.client_msg_id,
            origin=origin,
            done=done,
        )
        if to is None:
            self._gate.to_group(entry)
        else:
            self._gate.to_user(entry, to)


def check_content(content: str) -> None:
    """Whether a message may say this.

    Raises:
        ChatError: INVALID_FIELD or TOO_LARGE.
    """
    if not content:
        raise invalid_field("content", "a message has at least one character")
    if len(content) * _BYTES_PER_CHAR_MAX > limits.CONTENT_BYTES:
        size = len(content.encode())
        if size > limits.CONTENT_BYTES:
            raise ChatError(
                ErrorCode.TOO_LARGE,
                f"`content`: {size} bytes, at most {limits.CONTENT_BYTES} are allowed",
            )


def check_post(request: Post, conversation_id: str) -> None:
    """What the types cannot say about a post.

    Raises:
        ChatError: INVALID_FIELD or TOO_LARGE, naming the field.
    """
    if request.ttl_seconds is not None:
        # Refused, never stored by mistake: a message that was meant to vanish must
        # not become permanent.
        raise invalid_field("ttlSeconds", "stealth messages are not available on this server")
    check_content(request.content)
    if request.client_msg_id is not None and not request.client_msg_id.isprintable():
        raise invalid_field("clientMsgId", "only printable characters are allowed")
    if request.reply_to is not None:
        try:
            place = ids.open_message_id(request.reply_to)
        except ids.InvalidId:
            raise invalid_field("replyTo", "not the id of a message") from None
        if place.conversation_id != conversation_id:
            raise invalid_field("replyTo", "the message is in another conversation")
