"""One example of every frame, for docs/protocol.md: alice, bob and a group called demo."""

from typing import Final, NamedTuple

import msgspec

from protocol import limits, model, pushes, requests
from protocol.errors import ErrorCode

AT: Final = 1_767_225_600_000


class Exchange(NamedTuple):
    request: requests.Request
    reply: pushes.Reply | None


_last: Final = model.HistoryMessage(
    id="m1x0kQ7vT2",
    seq=7,
    prev=6,
    from_="alice",
    content="hi bob",
    sent_at=AT,
    chat_id="alice-bob",
    to="bob",
    version=1,
)
_edited: Final = msgspec.structs.replace(
    _last, content="hi, bob", version=2, edited_at=AT + 60_000, reactions={"👍": ["bob"]}
)
_group_message: Final = model.HistoryMessage(
    id="m3RkP0aZ9w",
    seq=4,
    prev=3,
    from_="bob",
    content="morning",
    sent_at=AT,
    group_id="g7204651",
    version=1,
)

EXCHANGES: Final = (
    Exchange(
        requests.OneToOneChat(ref="1", content="hi bob", client_msg_id="c-81", to="bob"),
        pushes.Success(
            ref="1",
            id="m1x0kQ7vT2",
            seq=7,
            prev=6,
            chat_id="alice-bob",
            sent_at=AT,
            client_msg_id="c-81",
        ),
    ),
    Exchange(
        requests.GroupChat(ref="2", content="hello @bob", mentions=["bob"], group_id="g7204651"),
        pushes.Success(ref="2", id="m5TbW8eL4c", seq=5, prev=4, group_id="g7204651", sent_at=AT),
    ),
    Exchange(
        requests.GetOneToOneHistory(ref="3", before=8, limit=1, to="bob"),
        pushes.OneToOneChatHistory(
            ref="3",
            chat_id="alice-bob",
            messages=[_edited],
            has_more=True,
            head_seq=9,
            is_online=False,
            last_seen=AT,
            peer_delivered_seq=9,
            peer_read_seq=6,
        ),
    ),
    Exchange(
        requests.GetGroupChatHistory(ref="4", after=3, group_id="g7204651"),
        pushes.GroupChatHistory(
            ref="4", group_id="g7204651", messages=[_group_message], has_more=False, head_seq=4
        ),
    ),
    Exchange(
        requests.NewOneToOneChat(ref="5", to="bob"),
        pushes.Success(ref="5", chat_id="alice-bob"),
    ),
    Exchange(
        requests.CreateGroup(ref="6", name="demo", members=["bob", "charlie"], open=True),
        pushes.Success(ref="6", seq=1, prev=0, group_id="g7204651"),
    ),
    Exchange(
        requests.JoinGroup(ref="7", group_id="g7204651"),
        pushes.Error(
            ref="7", code=ErrorCode.ALREADY_A_MEMBER, msg="already in the group", temporary=False
        ),
    ),
    Exchange(
        requests.LeaveGroup(ref="8", group_id="g7204651"),
        pushes.Success(ref="8", seq=6, prev=5),
    ),
    Exchange(
        requests.InitData(ref="9"),
        pushes.InitData(
            ref="9",
            user=model.User(username="alice", display_name="Alice"),
            chats=[
                model.ChatSummary(
                    chat_id="alice-bob",
                    peer="bob",
                    is_online=True,
                    last_seq=7,
                    delivered_seq=7,
                    read_seq=7,
                    unread=0,
                    last_message=_last,
                )
            ],
            groups=[
                model.GroupSummary(
                    group_id="g7204651",
                    name="demo",
                    topic="all about demos",
                    role=model.Role.ADMIN,
                    member_count=3,
                    last_seq=4,
                    delivered_seq=4,
                    read_seq=1,
                    unread=1,
                    last_message=_group_message,
                )
            ],
            has_more=False,
        ),
    ),
    Exchange(
        requests.Resume(ref="10", positions={"alice-bob": 6, "g7204651": 4, "g7204652": 2}),
        pushes.Success(ref="10", errors={"g7204652": ErrorCode.NOT_A_MEMBER}),
    ),
    Exchange(requests.Ack(ref="11", chat_id="alice-bob", seq=7), pushes.Success(ref="11")),
    Exchange(requests.MarkRead(ref="12", group_id="g7204651", seq=5), pushes.Success(ref="12")),
    Exchange(requests.Typing(chat_id="alice-bob", is_typing=True), None),
    Exchange(
        requests.EditMessage(
            ref="13", chat_id="alice-bob", id="m1x0kQ7vT2", content="hi, bob", version=1
        ),
        pushes.Success(ref="13", id="m1x0kQ7vT2", seq=8, prev=7, chat_id="alice-bob", version=2),
    ),
    Exchange(
        requests.DeleteMessage(ref="14", chat_id="alice-bob", id="m1x0kQ7vT2"),
        pushes.Success(ref="14", id="m1x0kQ7vT2", seq=10, prev=9, chat_id="alice-bob"),
    ),
    Exchange(
        requests.React(ref="15", chat_id="alice-bob", id="m1x0kQ7vT2", emoji="👍"),
        pushes.Success(ref="15", id="m1x0kQ7vT2", seq=9, prev=8, chat_id="alice-bob"),
    ),
    Exchange(requests.SubscribePresence(ref="16", users=["bob"]), pushes.Success(ref="16")),
    Exchange(requests.Ping(ref="17"), pushes.Pong(ref="17")),
    Exchange(requests.Disconnect(), None),
)
"""Each request, in the order of the union, and a reply to it."""

PUSHES: Final[tuple[pushes.Push, ...]] = (
    pushes.Info(
        msg="welcome",
        user="alice",
        connection_id="k4F9",
        protocol=1,
        log_id="b71c",
        server_time=AT,
        limits=limits.Limits(),
    ),
    pushes.OneToOneChat(
        id="m1x0kQ7vT2",
        seq=7,
        prev=6,
        chat_id="alice-bob",
        from_="alice",
        to="bob",
        content="hi bob",
        sent_at=AT,
        client_msg_id="c-81",
    ),
    pushes.GroupChat(
        id="m5TbW8eL4c",
        seq=5,
        prev=4,
        group_id="g7204651",
        from_="alice",
        content="hello @bob",
        sent_at=AT,
        mentions=["bob"],
    ),
    pushes.NewOneToOneChat(from_="alice", chat_id="alice-bob"),
    pushes.GroupCreated(
        group_id="g7204651",
        name="demo",
        by="alice",
        members=["alice", "bob", "charlie"],
        open=True,
        history=model.HistoryVisibility.JOINED,
        at=AT,
        seq=1,
        prev=0,
    ),
    pushes.GroupMemberJoined(
        group_id="g7204651", username="dora", by="dora", at=AT, seq=2, prev=1, offline=True
    ),
    pushes.GroupMemberLeft(group_id="g7204651", username="alice", by="alice", at=AT, seq=6, prev=5),
    pushes.GroupUpdated(
        group_id="g7204651", topic="all about demos", by="bob", at=AT, seq=7, prev=6
    ),
    pushes.RoleChanged(
        group_id="g7204651",
        username="bob",
        role=model.Role.ADMIN,
        by="alice",
        at=AT,
        seq=3,
        prev=2,
    ),
    pushes.MessageEdited(
        chat_id="alice-bob",
        id="m1x0kQ7vT2",
        from_="alice",
        at=AT,
        seq=8,
        prev=7,
        content="hi, bob",
        version=2,
    ),
    pushes.MessageDeleted(
        chat_id="alice-bob", id="m1x0kQ7vT2", from_="alice", at=AT, seq=10, prev=9
    ),
    pushes.Reaction(
        chat_id="alice-bob", id="m1x0kQ7vT2", from_="bob", at=AT, seq=9, prev=8, emoji="👍"
    ),
    pushes.DeliveryReceipt(chat_id="alice-bob", username="bob", seq=7),
    pushes.ReadReceipt(group_id="g7204652", username="dora", seq=412, others=57),
    pushes.Typing(chat_id="alice-bob", username="bob", is_typing=True),
    pushes.Resync(group_id="g7204652", after_seq=340),
    pushes.PresenceUpdate(username="bob", status=model.PresenceStatus.ONLINE, last_seen=None),
)
"""Each push, in the order of the union."""
