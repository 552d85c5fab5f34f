"""chatd.events: bodies as they are stored."""

import pytest

from chatd.events import (
    AnyBody,
    DeleteBody,
    EditBody,
    EventKind,
    GroupCreatedBody,
    GroupUpdatedBody,
    MemberBody,
    MessageBody,
    ReactionBody,
    RoleBody,
    blanked,
    decode_body,
    encode_body,
)
from protocol.model import HistoryVisibility, Role

# As they are on disk: none of these may ever be read as something else.
STORED: list[tuple[EventKind, AnyBody, bytes]] = [
    (
        EventKind.DIRECT_MESSAGE,
        MessageBody(content="hi", to="bob", client_msg_id="k", reply_to="r", mentions=["bob"]),
        b'{"content":"hi","to":"bob","clientMsgId":"k","replyTo":"r","mentions":["bob"]}',
    ),
    (EventKind.GROUP_MESSAGE, MessageBody(content="hi"), b'{"content":"hi"}'),
    (
        EventKind.GROUP_CREATED,
        GroupCreatedBody("club", ["alice"], True, HistoryVisibility.ALL),
        b'{"name":"club","members":["alice"],"open":true,"history":"all"}',
    ),
    (EventKind.MEMBER_JOINED, MemberBody("bob"), b'{"username":"bob"}'),
    (EventKind.MEMBER_LEFT, MemberBody("bob"), b'{"username":"bob"}'),
    (
        EventKind.MESSAGE_EDITED,
        EditBody(id="i", is_direct=True, content="new"),
        b'{"id":"i","isDirect":true,"content":"new"}',
    ),
    (EventKind.MESSAGE_DELETED, DeleteBody(id="i"), b'{"id":"i"}'),
    (
        EventKind.REACTION,
        ReactionBody(id="i", emoji="\U0001f389", remove=True),
        '{"id":"i","emoji":"\U0001f389","remove":true}'.encode(),
    ),
    (EventKind.ROLE_CHANGED, RoleBody("bob", Role.ADMIN), b'{"username":"bob","role":"ADMIN"}'),
    (
        EventKind.GROUP_UPDATED,
        GroupUpdatedBody(topic="", avatar_url="http://a/b"),
        b'{"topic":"","avatarUrl":"http://a/b"}',
    ),
]


def test_every_kind_has_its_number_for_ever() -> None:
    assert [(kind.name, kind.value) for kind in EventKind] == [
        ("DIRECT_MESSAGE", 1),
        ("GROUP_MESSAGE", 2),
        ("GROUP_CREATED", 3),
        ("MEMBER_JOINED", 4),
        ("MEMBER_LEFT", 5),
        ("MESSAGE_EDITED", 6),
        ("MESSAGE_DELETED", 7),
        ("REACTION", 8),
        ("ROLE_CHANGED", 9),
        ("GROUP_UPDATED", 10),
    ]
    assert {kind for kind, _, _ in STORED} == set(EventKind)


@pytest.mark.parametrize(("kind", "body", "data"), STORED, ids=[kind.name for kind, _, _ in STORED])
def test_a_body_is_stored_and_read_as_it_always_was(
    kind: EventKind, body: AnyBody, data: bytes
) -> None:
    assert encode_body(body) == data
    assert decode_body(kind, data) == body


@pytest.mark.parametrize(("kind", "body", "data"), STORED, ids=[kind.name for kind, _, _ in STORED])
def test_a_body_of_a_later_version_can_be_read(kind: EventKind, body: AnyBody, data: bytes) -> None:
    assert decode_body(kind, data[:-1] + b',"inTheFuture":1}') == body


@pytest.mark.parametrize("kind", [EventKind.DIRECT_MESSAGE, EventKind.GROUP_MESSAGE])
def test_a_blanked_message_keeps_what_it_did_not_say(kind: EventKind) -> None:
    whole = MessageBody(
        content="secret", to="bob", client_msg_id="k", reply_to="r", mentions=["secretary"]
    )
    data = blanked(kind, encode_body(whole))
    assert b"secret" not in data
    assert decode_body(kind, data) == MessageBody(
        content="", to="bob", client_msg_id="k", reply_to="r"
    )


def test_a_blanked_edit_keeps_its_message() -> None:
    data = blanked(
        EventKind.MESSAGE_EDITED, encode_body(EditBody(id="i", is_direct=True, content="secret"))
    )
    assert decode_body(EventKind.MESSAGE_EDITED, data) == EditBody(
        id="i", is_direct=True, content=""
    )


def test_what_is_blank_stays_so() -> None:
    once = blanked(EventKind.GROUP_MESSAGE, encode_body(MessageBody(content="secret")))
    assert blanked(EventKind.GROUP_MESSAGE, once) == once
