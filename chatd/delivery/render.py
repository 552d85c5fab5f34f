"""Stored events as frames: the same rendering for live delivery, catch-up, histories and acks."""

from typing import assert_never

from chatd import ids
from chatd.events import (
    AnyBody,
    Event,
    EventKind,
    GroupCreatedBody,
    MemberBody,
    MessageBody,
    decode_body,
)
from chatd.stores.ledger import Entry, Outcome
from protocol import pushes
from protocol.model import HistoryMessage

EventPush = (
    pushes.OneToOneChat
    | pushes.GroupChat
    | pushes.GroupCreated
    | pushes.GroupMemberJoined
    | pushes.GroupMemberLeft
)


def stored_push(event: Event, *, offline: bool) -> EventPush:
    """The frame of an event that was read from the store."""
    body = decode_body(event.kind, event.body)
    return _push(
        event.kind,
        event.conversation_id,
        event.seq,
        event.nonce,
        event.sender,
        event.at_ms,
        body,
        offline,
    )


def released_push(entry: Entry, outcome: Outcome) -> EventPush:
    """The frame of an event that was just committed."""
    return _push(
        entry.kind,
        entry.conversation_id,
        outcome.seq,
        outcome.nonce,
        entry.sender,
        outcome.at_ms,
        entry.body,
        False,
    )


def ack(entry: Entry, outcome: Outcome, ref: str | None) -> pushes.Success:
    """The SUCCESS of an appended entry. Only messages have an id that clients can use."""
    is_direct = entry.kind is EventKind.DIRECT_MESSAGE
    is_message = isinstance(entry.body, MessageBody)
    return pushes.Success(
        ref=ref,
        id=ids.message_id(entry.conversation_id, outcome.seq, outcome.nonce)
        if is_message
        else None,
        seq=outcome.seq,
        prev=outcome.seq - 1,
        chat_id=entry.conversation_id if is_direct else None,
        group_id=None if is_direct else entry.conversation_id,
        sent_at=outcome.at_ms if is_message else None,
        client_msg_id=entry.key,
        duplicate=outcome.duplicate,
    )


def history_message(event: Event) -> HistoryMessage:
    """A stored message as a history shows it."""
    body = decode_body(event.kind, event.body)
    assert isinstance(body, MessageBody)
    is_direct = event.kind is EventKind.DIRECT_MESSAGE
    return HistoryMessage(
        id=ids.message_id(event.conversation_id, event.seq, event.nonce),
        seq=event.seq,
        prev=event.seq - 1,
        chat_id=event.conversation_id if is_direct else None,
        group_id=None if is_direct else event.conversation_id,
        from_=event.sender,
        to=body.to,
        content=body.content,
        sent_at=event.at_ms,
        client_msg_id=body.client_msg_id,
        reply_to=body.reply_to,
        mentions=body.mentions,
    )


def _push(
    kind: EventKind,
    conversation_id: str,
    seq: int,
    nonce: int,
    sender: str,
    at_ms: int,
    body: AnyBody,
    offline: bool,
) -> EventPush:
    match body:
        case MessageBody(to=str(to)):
            return pushes.OneToOneChat(
                id=ids.message_id(conversation_id, seq, nonce),
                seq=seq,
                prev=seq - 1,
                chat_id=conversation_id,
                from_=sender,
                to=to,
                content=body.content,
                sent_at=at_ms,
                client_msg_id=body.client_msg_id,
                reply_to=body.reply_to,
                mentions=body.mentions,
                offline=offline,
            )
        case MessageBody():
            return pushes.GroupChat(
                id=ids.message_id(conversation_id, seq, nonce),
                seq=seq,
                prev=seq - 1,
                group_id=conversation_id,
                from_=sender,
                content=body.content,
                sent_at=at_ms,
                client_msg_id=body.client_msg_id,
                reply_to=body.reply_to,
                mentions=body.mentions,
                offline=offline,
            )
        case GroupCreatedBody():
            return pushes.GroupCreated(
                group_id=conversation_id,
                name=body.name,
                by=sender,
                members=body.members,
                open=body.open,
                history=body.history,
                at=at_ms,
                seq=seq,
                prev=seq - 1,
                offline=offline,
            )
        case MemberBody():
            frame = (
                pushes.GroupMemberJoined
                if kind is EventKind.MEMBER_JOINED
                else pushes.GroupMemberLeft
            )
            return frame(
                group_id=conversation_id,
                username=body.username,
                by=sender,
                at=at_ms,
                seq=seq,
                prev=seq - 1,
                offline=offline,
            )
        case _:
            assert_never(body)
