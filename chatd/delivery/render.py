"""Stored events as frames: the same rendering for live delivery, catch-up, histories and acks."""

from typing import assert_never

from chatd import ids
from chatd.events import (
    AnyBody,
    ChangeBody,
    DeleteBody,
    EditBody,
    Event,
    EventKind,
    GroupCreatedBody,
    GroupUpdatedBody,
    MemberBody,
    Message,
    MessageBody,
    ReactionBody,
    RoleBody,
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
    | pushes.GroupUpdated
    | pushes.RoleChanged
    | pushes.MessageEdited
    | pushes.MessageDeleted
    | pushes.Reaction
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
        event.version,
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
        outcome.version,
        False,
    )


def ack(entry: Entry, outcome: Outcome, ref: str | None) -> pushes.Success:
    """The SUCCESS of an appended entry. Of a change the id is its message's."""
    body = entry.body
    conversation_id = entry.conversation_id
    is_direct = entry.kind is EventKind.DIRECT_MESSAGE
    message_id = None
    if isinstance(body, MessageBody):
        message_id = ids.message_id(conversation_id, outcome.seq, outcome.nonce)
    elif isinstance(body, ChangeBody):
        message_id, is_direct = body.id, body.is_direct
    return pushes.Success(
        ref=ref,
        id=message_id,
        seq=outcome.seq,
        prev=outcome.seq - 1,
        chat_id=conversation_id if is_direct else None,
        group_id=None if is_direct else conversation_id,
        sent_at=outcome.at_ms or None if message_id is not None else None,
        client_msg_id=entry.key,
        duplicate=outcome.duplicate,
        version=outcome.version or None,
    )


def history_message(message: Message) -> HistoryMessage:
    """A stored message as a history shows it."""
    posted, edit = message.posted, message.edit
    body = decode_body(posted.kind, posted.body)
    assert isinstance(body, MessageBody)
    content = body.content
    if edit is not None and not message.is_deleted:
        edited = decode_body(edit.kind, edit.body)
        assert isinstance(edited, EditBody)
        content = edited.content
    reactions: dict[str, list[str]] = {}
    for emoji, username in message.reactions:
        reactions.setdefault(emoji, []).append(username)
    is_direct = posted.kind is EventKind.DIRECT_MESSAGE
    return HistoryMessage(
        id=ids.message_id(posted.conversation_id, posted.seq, posted.nonce),
        seq=posted.seq,
        prev=posted.seq - 1,
        chat_id=posted.conversation_id if is_direct else None,
        group_id=None if is_direct else posted.conversation_id,
        from_=posted.sender,
        to=body.to,
        content=content,
        sent_at=posted.at_ms,
        client_msg_id=body.client_msg_id,
        reply_to=body.reply_to,
        mentions=body.mentions,
        version=message.version,
        edited_at=None if edit is None else edit.at_ms,
        edited_by=None if edit is None or edit.sender == posted.sender else edit.sender,
        reactions=reactions or None,
        deleted=message.is_deleted,
    )


def _push(
    kind: EventKind,
    conversation_id: str,
    seq: int,
    nonce: int,
    sender: str,
    at_ms: int,
    body: AnyBody,
    version: int,
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
        case RoleBody():
            return pushes.RoleChanged(
                group_id=conversation_id,
                username=body.username,
                role=body.role,
                by=sender,
                at=at_ms,
                seq=seq,
                prev=seq - 1,
                offline=offline,
            )
        case GroupUpdatedBody():
            return pushes.GroupUpdated(
                group_id=conversation_id,
                name=body.name,
                topic=body.topic,
                avatar_url=body.avatar_url,
                by=sender,
                at=at_ms,
                seq=seq,
                prev=seq - 1,
                offline=offline,
            )
        case EditBody() | DeleteBody() | ReactionBody():
            return _change_push(conversation_id, seq, sender, at_ms, body, version, offline)
        case _:
            assert_never(body)


def _change_push(
    conversation_id: str,
    seq: int,
    sender: str,
    at_ms: int,
    body: EditBody | DeleteBody | ReactionBody,
    version: int,
    offline: bool,
) -> EventPush:
    chat_id = conversation_id if body.is_direct else None
    group_id = None if body.is_direct else conversation_id
    match body:
        case EditBody():
            return pushes.MessageEdited(
                chat_id=chat_id,
                group_id=group_id,
                id=body.id,
                from_=sender,
                at=at_ms,
                seq=seq,
                prev=seq - 1,
                content=body.content,
                version=version,
                offline=offline,
            )
        case DeleteBody():
            return pushes.MessageDeleted(
                chat_id=chat_id,
                group_id=group_id,
                id=body.id,
                from_=sender,
                at=at_ms,
                seq=seq,
                prev=seq - 1,
                offline=offline,
            )
        case ReactionBody():
            return pushes.Reaction(
                chat_id=chat_id,
                group_id=group_id,
                id=body.id,
                from_=sender,
                at=at_ms,
                seq=seq,
                prev=seq - 1,
                emoji=body.emoji,
                remove=body.remove,
                offline=offline,
            )
