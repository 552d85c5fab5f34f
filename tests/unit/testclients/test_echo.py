"""The events that own requests made."""

from typing import Any

import pytest

from protocol import pushes, requests
from protocol.model import HistoryVisibility
from protocol.pushes import Success
from protocol.requests import Request
from testclients.echo import event_of
from testclients.events import Event

NOW = 99
DIRECT: dict[str, Any] = {"id": "m", "chat_id": "alice-bob", "seq": 3, "prev": 2}
GROUP: dict[str, Any] = {"id": "m", "group_id": "g", "seq": 3, "prev": 2}


@pytest.mark.parametrize(
    ("request_", "ack", "event"),
    [
        (
            requests.OneToOneChat(to="bob", content="hi", client_msg_id="c", reply_to="r"),
            Success(**DIRECT, sent_at=7, client_msg_id="c"),
            pushes.OneToOneChat(
                **DIRECT,
                from_="alice",
                to="bob",
                content="hi",
                sent_at=7,
                client_msg_id="c",
                reply_to="r",
            ),
        ),
        (
            requests.GroupChat(group_id="g", content="hi", mentions=["bob"]),
            Success(**GROUP, sent_at=7, duplicate=True),
            pushes.GroupChat(**GROUP, from_="alice", content="hi", sent_at=7, mentions=["bob"]),
        ),
        (
            requests.CreateGroup(name="club", members=["bob", "alice"], open=True),
            Success(group_id="g", seq=1, prev=0),
            pushes.GroupCreated(
                group_id="g",
                name="club",
                by="alice",
                members=["alice", "bob"],
                open=True,
                history=HistoryVisibility.JOINED,
                at=NOW,
                seq=1,
                prev=0,
            ),
        ),
        (
            requests.JoinGroup(group_id="g"),
            Success(group_id="g", seq=3, prev=2),
            pushes.GroupMemberJoined(
                group_id="g", username="alice", by="alice", at=NOW, seq=3, prev=2
            ),
        ),
        (
            requests.LeaveGroup(group_id="g"),
            Success(group_id="g", seq=3, prev=2),
            pushes.GroupMemberLeft(
                group_id="g", username="alice", by="alice", at=NOW, seq=3, prev=2
            ),
        ),
        (
            requests.EditMessage(chat_id="alice-bob", id="m", content="new"),
            Success(**DIRECT, version=4, sent_at=7),
            pushes.MessageEdited(**DIRECT, from_="alice", at=7, content="new", version=4),
        ),
        (
            requests.DeleteMessage(group_id="g", id="m"),
            Success(**GROUP),
            pushes.MessageDeleted(**GROUP, from_="alice", at=NOW),
        ),
        (
            requests.React(group_id="g", id="m", emoji="👍", remove=True),
            Success(**GROUP),
            pushes.Reaction(**GROUP, from_="alice", at=NOW, emoji="👍", remove=True),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_ack_becomes_what_others_were_sent(
    request_: Request, ack: Success, event: Event
) -> None:
    assert event_of("alice", request_, ack, NOW) == event


@pytest.mark.parametrize(
    ("request_", "ack"),
    [
        (requests.DeleteMessage(group_id="g", id="m"), Success(**GROUP, duplicate=True)),
        (requests.React(group_id="g", id="m", emoji="👍"), Success(**GROUP, duplicate=True)),
        (requests.NewOneToOneChat(to="bob"), Success(chat_id="alice-bob")),
        (requests.MarkRead(chat_id="alice-bob", seq=3), Success()),
        (requests.SubscribePresence(users=["bob"]), Success()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_ack_that_is_no_event(request_: Request, ack: Success) -> None:
    assert event_of("alice", request_, ack, NOW) is None
