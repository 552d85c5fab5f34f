"""The events that an own request made: the server tells others, the sender has only its ack.

Pure. What others were sent as an event is put together from the request and its SUCCESS, so that
an application hears of everything in one way.
"""

from protocol import pushes, requests
from protocol.pushes import Success
from protocol.requests import Request
from testclients.events import Event


def event_of(user: str, request: Request, ack: Success, now_ms: int) -> Event | None:
    """The event that `ack` stands for; None when it stands for none, or for another's.

    `now_ms` is the time of an event whose ack does not say it.
    """
    if ack.seq is None or ack.prev is None:
        return None
    at = now_ms if ack.sent_at is None else ack.sent_at
    seq, prev = ack.seq, ack.prev
    match request:
        case requests.OneToOneChat() if ack.id is not None and ack.chat_id is not None:
            return pushes.OneToOneChat(
                id=ack.id,
                chat_id=ack.chat_id,
                from_=user,
                to=request.to,
                content=request.content,
                sent_at=at,
                client_msg_id=request.client_msg_id,
                reply_to=request.reply_to,
                mentions=request.mentions or None,
                seq=seq,
                prev=prev,
            )
        case requests.GroupChat() if ack.id is not None:
            return pushes.GroupChat(
                id=ack.id,
                group_id=request.group_id,
                from_=user,
                content=request.content,
                sent_at=at,
                client_msg_id=request.client_msg_id,
                reply_to=request.reply_to,
                mentions=request.mentions or None,
                seq=seq,
                prev=prev,
            )
        case _ if ack.duplicate:
            # It was done before, perhaps by another.
            return None
        case requests.CreateGroup() if ack.group_id is not None:
            return pushes.GroupCreated(
                group_id=ack.group_id,
                name=request.name,
                by=user,
                members=list(dict.fromkeys([user, *request.members])),
                open=request.open,
                history=request.history,
                at=at,
                seq=seq,
                prev=prev,
            )
        case requests.JoinGroup():
            return pushes.GroupMemberJoined(
                group_id=request.group_id, username=user, by=user, at=at, seq=seq, prev=prev
            )
        case requests.LeaveGroup():
            return pushes.GroupMemberLeft(
                group_id=request.group_id, username=user, by=user, at=at, seq=seq, prev=prev
            )
        case requests.EditMessage() if ack.version is not None:
            return pushes.MessageEdited(
                chat_id=request.chat_id,
                group_id=request.group_id,
                id=request.id,
                from_=user,
                at=at,
                content=request.content,
                version=ack.version,
                seq=seq,
                prev=prev,
            )
        case requests.DeleteMessage():
            return pushes.MessageDeleted(
                chat_id=request.chat_id,
                group_id=request.group_id,
                id=request.id,
                from_=user,
                at=at,
                seq=seq,
                prev=prev,
            )
        case requests.React():
            return pushes.Reaction(
                chat_id=request.chat_id,
                group_id=request.group_id,
                id=request.id,
                from_=user,
                at=at,
                emoji=request.emoji,
                remove=request.remove,
                seq=seq,
                prev=prev,
            )
        case _:
            return None
