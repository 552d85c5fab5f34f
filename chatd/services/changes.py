"""Edits, deletes and reactions: the rules that need no look at the store, then the journal."""

from typing import Final

import emoji

from chatd import ids
from chatd.auth import Principal
from chatd.clock import Clock
from chatd.delivery.outbox import Outbox
from chatd.errors import ChatError, invalid_field
from chatd.events import AnyBody, DeleteBody, EditBody, EventKind, ReactionBody
from chatd.services.journal import Journal
from chatd.services.messages import check_content
from chatd.services.where import where
from chatd.stores.ledger import Done, Entry
from protocol.errors import ErrorCode
from protocol.requests import DeleteMessage, EditMessage, OnMessage, React

_NO_SUCH_MESSAGE: Final = "the conversation has no message with this id"


class Changes:
    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._nonces = ids.Nonces()

    def edit(
        self, principal: Principal, request: EditMessage, origin: Outbox | None, done: Done
    ) -> None:
        """Give a message another content; `done` gets the outcome.

        Raises:
            ChatError: the request breaks a rule that needs no look at the store.
        """
        check_content(request.content)
        body = EditBody(id=request.id, is_direct=where(request).is_direct, content=request.content)
        self._submit(
            EventKind.MESSAGE_EDITED, principal, request, body, origin, done, request.version
        )

    def delete(
        self, principal: Principal, request: DeleteMessage, origin: Outbox | None, done: Done
    ) -> None:
        """Take away what a message says; as `edit`."""
        body = DeleteBody(id=request.id, is_direct=where(request).is_direct)
        self._submit(EventKind.MESSAGE_DELETED, principal, request, body, origin, done)

    def react(
        self, principal: Principal, request: React, origin: Outbox | None, done: Done
    ) -> None:
        """Add a reaction of the caller to a message, or take it back; as `edit`."""
        if not emoji.is_emoji(request.emoji):
            raise invalid_field("emoji", "it must be one emoji")
        body = ReactionBody(
            id=request.id,
            is_direct=where(request).is_direct,
            emoji=request.emoji,
            remove=request.remove,
        )
        self._submit(EventKind.REACTION, principal, request, body, origin, done)

    def _submit(
        self,
        kind: EventKind,
        principal: Principal,
        request: OnMessage,
        body: AnyBody,
        origin: Outbox | None,
        done: Done,
        version: int | None = None,
    ) -> None:
        conversation_id = where(request).conversation_id
        try:
            target = ids.open_message_id(request.id)
        except ids.InvalidId:
            # Ids are opaque to clients: one that is none names nothing.
            raise ChatError(ErrorCode.NO_SUCH_MESSAGE, _NO_SUCH_MESSAGE) from None
        if target.conversation_id != conversation_id:
            raise ChatError(ErrorCode.NO_SUCH_MESSAGE, _NO_SUCH_MESSAGE)
        self._journal.submit(
            Entry(
                conversation_id,
                kind,
                principal.username,
                body,
                self._nonces.new(),
                self._clock.now_ms(),
                target=target,
                version=version,
                origin=origin,
                done=done,
            )
        )
