from datetime import UTC, timedelta, timezone
from typing import Any

import pytest

from protocol import ErrorCode
from protocol.model import (
    ChatSummary,
    GroupSummary,
    HistoryMessage,
    HistoryVisibility,
    PresenceStatus,
    Role,
)
from protocol.pushes import (
    DeliveryReceipt,
    Error,
    GroupChat,
    GroupCreated,
    GroupMemberJoined,
    GroupMemberLeft,
    GroupUpdated,
    MessageDeleted,
    MessageEdited,
    NewOneToOneChat,
    OneToOneChat,
    Pong,
    PresenceUpdate,
    Reaction,
    ReadReceipt,
    RoleChanged,
    ServerFrame,
    Success,
    Typing,
)
from protocol.requests import OneToOneChat as OneToOneChatRequest
from testclients import render
from testclients.connection_state import ConnectionState, Phase
from testclients.conversations import Conversation, Direct, Group
from testclients.errors import RequestFailed
from testclients.notices import Gone, LogRenewed, Notice, Rewound
from testclients.outbox import Entry, EntryState

NOON = 1_700_049_600_000  # 2023-11-15 12:00 UTC
MINUTE = 60_000
DAY = 24 * 60 * MINUTE


CHANGE: dict[str, Any] = {"chat_id": "alice-bob", "id": "m", "at": NOON, "seq": 2, "prev": 1}


def past(content: str, **more: Any) -> HistoryMessage:
    fields: dict[str, Any] = {
        "id": "m",
        "seq": 1,
        "prev": 0,
        "from_": "bob",
        "sent_at": NOON,
        "version": 1,
    }
    return HistoryMessage(content=content, **(fields | more))


KNOWN = {"m": past("the old words"), "long": past("x" * 100)}


def view(here: Conversation | None = None) -> render.View:
    return render.View("alice", here, {"g1": "demo"}, UTC, KNOWN.get)


def direct(from_: str, to: str, content: str = "hi", offline: bool = False) -> OneToOneChat:
    return OneToOneChat(
        id="m",
        seq=1,
        prev=0,
        chat_id="alice-bob",
        from_=from_,
        to=to,
        content=content,
        sent_at=NOON,
        offline=offline,
    )


def in_group(group_id: str = "g1") -> GroupChat:
    return GroupChat(
        id="m", seq=1, prev=0, group_id=group_id, from_="bob", content="hi", sent_at=NOON
    )


@pytest.mark.parametrize(
    ("frame", "here", "line"),
    [
        (direct("bob", "alice"), Direct("bob"), "12:00 bob: hi"),
        (direct("bob", "alice", offline=True), Direct("bob"), "12:00 bob: hi (offline)"),
        (direct("alice", "bob"), Direct("bob"), "12:00 alice: hi"),
        (direct("bob", "alice"), None, "12:00 [direct] bob: hi"),
        (direct("bob", "alice"), Direct("charlie"), "12:00 [direct] bob: hi"),
        (direct("alice", "bob"), Direct("charlie"), "12:00 [direct to bob] alice: hi"),
        (direct("bob", "alice"), Group("g1", "demo"), "12:00 [direct] bob: hi"),
        (in_group(), Group("g1", "demo"), "12:00 bob: hi"),
        (in_group(), Direct("bob"), "12:00 [demo] bob: hi"),
        (in_group("g2"), Group("g1", "demo"), "12:00 [g2] bob: hi"),
        (NewOneToOneChat(from_="bob", chat_id="alice-bob"), None, "* bob opened a chat with you"),
        (
            PresenceUpdate(username="bob", status=PresenceStatus.ONLINE, last_seen=None),
            None,
            "* bob is online",
        ),
        (
            PresenceUpdate(username="bob", status=PresenceStatus.OFFLINE, last_seen=NOON),
            None,
            "* bob is offline, last seen 12:00",
        ),
        (
            PresenceUpdate(username="bob", status=PresenceStatus.UNKNOWN, last_seen=None),
            None,
            "* bob is online or not: unknown",
        ),
        (
            GroupCreated(
                group_id="g2",
                name="tea",
                by="bob",
                members=["alice", "bob"],
                open=False,
                history=HistoryVisibility.JOINED,
                at=NOON,
                seq=1,
                prev=0,
            ),
            None,
            "* bob created tea (group g2): alice, bob",
        ),
        (
            GroupMemberJoined(group_id="g1", username="bob", by="bob", at=NOON, seq=2, prev=1),
            None,
            "* bob joined demo",
        ),
        (
            GroupMemberJoined(group_id="g1", username="bob", by="charlie", at=NOON, seq=2, prev=1),
            None,
            "* charlie added bob to demo",
        ),
        (
            GroupMemberLeft(group_id="g1", username="bob", by="bob", at=NOON, seq=2, prev=1),
            None,
            "* bob left demo",
        ),
        (
            GroupMemberLeft(
                group_id="g1", username="bob", by="bob", at=NOON, seq=2, prev=1, offline=True
            ),
            None,
            "* bob left demo (offline)",
        ),
        (
            GroupMemberLeft(group_id="g1", username="bob", by="charlie", at=NOON, seq=2, prev=1),
            None,
            "* charlie removed bob from demo",
        ),
        (
            Error(code=ErrorCode.MALFORMED_FRAME, msg="not JSON", temporary=False),
            None,
            "! MALFORMED_FRAME: not JSON",
        ),
        (
            GroupUpdated(group_id="g1", name="pub", topic="", by="bob", at=NOON, seq=2, prev=1),
            None,
            "* bob renamed it to pub, took the topic off (demo)",
        ),
        (
            GroupUpdated(
                group_id="g1", topic="a\nb", avatar_url="x", by="bob", at=NOON, seq=2, prev=1
            ),
            None,
            "* bob set the topic a b, changed its picture (demo)",
        ),
        (
            RoleChanged(
                group_id="g1", username="eve", role=Role.ADMIN, by="bob", at=NOON, seq=2, prev=1
            ),
            None,
            "* bob made eve an admin of demo",
        ),
        (
            RoleChanged(
                group_id="g1", username="eve", role=Role.MEMBER, by="bob", at=NOON, seq=2, prev=1
            ),
            None,
            "* bob made eve a member of demo",
        ),
        (
            MessageEdited(**CHANGE, from_="bob", content="two\nlines", version=2),
            None,
            "* bob edited “the old words”: two lines",
        ),
        (
            MessageEdited(**CHANGE, from_="carol", content="new", version=2),
            None,
            "* carol edited “the old words” of bob: new",
        ),
        (MessageDeleted(**CHANGE, from_="bob"), None, "* bob deleted “the old words”"),
        (
            Reaction(**CHANGE, from_="alice", emoji="👍"),
            None,
            "* alice reacted 👍 to “the old words” of bob",
        ),
        (
            Reaction(**(CHANGE | {"id": "long"}), from_="bob", emoji="👍", remove=True),
            None,
            f"* bob took back 👍 to “{'x' * 30}…”",
        ),
        (MessageDeleted(**(CHANGE | {"id": "?"}), from_="bob"), None, "* bob deleted a message"),
        (ReadReceipt(chat_id="c", username="bob", seq=1), None, "* seen by bob"),
        (
            ReadReceipt(group_id="g1", username="bob", seq=1, others=3),
            None,
            "* seen by bob and 3 others",
        ),
        (DeliveryReceipt(chat_id="c", username="bob", seq=1), None, "* delivered to bob"),
        (Typing(chat_id="c", username="bob", is_typing=True), None, "* bob is typing"),
        (Typing(chat_id="c", username="bob", is_typing=False), None, "* bob has stopped typing"),
        (Pong(), None, '* {"type":"PONG"}'),
    ],
)
def test_a_push_as_a_line(frame: ServerFrame, here: Conversation | None, line: str) -> None:
    assert render.push(frame, NOON + MINUTE, view(here)) == line


def test_the_date_is_shown_when_it_is_another_day() -> None:
    assert render.moment(NOON, NOON + DAY, UTC) == "2023-11-15 12:00"
    assert render.moment(NOON, NOON + MINUTE, UTC) == "12:00"


def test_the_day_is_that_of_the_time_zone() -> None:
    east = timezone(timedelta(hours=11, minutes=59))
    assert render.moment(NOON, NOON + 2 * MINUTE, UTC) == "12:00"
    assert render.moment(NOON, NOON + 2 * MINUTE, east) == "2023-11-15 23:59"


def test_a_time_out_of_range_is_no_failure() -> None:
    assert render.moment(2**62, NOON, UTC) == f"at {2**62} ms"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("grüße 你好 👍", "grüße 你好 👍"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\rb\x07", "a\\rb\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202eevil", "\\u202eevil"),
        ("\u2028", "\\u2028"),
        ("\u200d", "\u200d"),
    ],
)
def test_what_would_act_on_the_terminal_is_escaped(text: str, shown: str) -> None:
    assert render.plain(text) == shown


def test_a_line_break_in_a_message_cannot_look_like_another_message() -> None:
    frame = direct("bob", "alice", "one\n12:00 charlie: two")
    line = render.push(frame, NOON, view(Direct("bob")))
    assert line == "12:00 bob: one\n    | 12:00 charlie: two"


def test_names_are_made_harmless_too() -> None:
    frame = GroupMemberLeft(group_id="g\x1b", username="bob", by="bob", at=NOON, seq=2, prev=1)
    assert render.push(frame, NOON, view()) == "* bob left g\\x1b"


def test_json_is_one_line_with_the_names_of_the_wire() -> None:
    text = render.as_json(direct("bob", "alice", "a\nb"))
    assert "\n" not in text
    assert '"from":"bob"' in text and '"sentAt":1700049600000' in text


def test_an_ack_names_its_place() -> None:
    assert render.ack(Success(id="x", seq=3)) == "sent: seq 3, id x"
    assert (
        render.ack(Success(id="x", seq=3, duplicate=True))
        == "sent: seq 3, id x (it was stored before)"
    )


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (past("hi"), "12:00 bob: hi"),
        (past("hi", edited_at=NOON, version=2), "12:00 bob: hi (edited)"),
        (past("hi", edited_at=NOON, edited_by="eve"), "12:00 bob: hi (edited by eve)"),
        (past("", deleted=True, edited_at=NOON), "12:00 bob (deleted)"),
        (
            past("hi", reactions={"👍": ["alice", "eve"], "\x1b": ["eve"]}),
            "12:00 bob: hi [👍 alice, eve] [\\x1b eve]",
        ),
    ],
)
def test_a_message_of_a_history(message: HistoryMessage, line: str) -> None:
    assert render.past(message, NOON, view()) == line


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (ConnectionState(Phase.CONNECTING), "connecting"),
        (ConnectionState(Phase.WAITING, 2.3), "offline, next try in 3 s"),
        (ConnectionState(Phase.ONLINE), ""),
        (ConnectionState(Phase.FAILED), "offline"),
        (ConnectionState(Phase.CLOSED), ""),
    ],
)
def test_how_it_stands_with_the_connection(state: ConnectionState, words: str) -> None:
    assert render.connection(state) == words


def test_how_it_stands_with_a_message_to_be_sent() -> None:
    post = Entry(OneToOneChatRequest(to="bob", content="a\nb\x07", client_msg_id="c"))
    assert render.entry(post) == "* not sent yet: a b\\x07"
    post.move(EntryState.FAILED, RequestFailed(ErrorCode.BLOCKED, "no", False, None))
    assert render.entry(post) == "! not sent: a b\\x07 (BLOCKED: no); /retry or /drop"
    post.move(EntryState.SENT)
    assert render.entry(post) == "* sent: a b\\x07"


@pytest.mark.parametrize(
    ("notice", "words"),
    [
        (LogRenewed("x"), "* the server was restored from a backup: what is above may be gone"),
        (Rewound("g1"), "* demo begins anew: what is above of it may be gone"),
        (Gone("g1"), "* you are not in demo any more"),
    ],
)
def test_a_notice_as_a_line(notice: Notice, words: str) -> None:
    assert render.notice(notice, view()) == words


def test_the_list_counts_through_chats_and_groups() -> None:
    chats = [
        ChatSummary(
            chat_id="alice-bob",
            peer="bob",
            is_online=True,
            last_seq=1,
            delivered_seq=1,
            read_seq=1,
            unread=0,
        ),
        ChatSummary(
            chat_id="alice-charlie",
            peer="charlie",
            last_seen=NOON,
            last_seq=9,
            delivered_seq=9,
            read_seq=1,
            unread="100+",
        ),
    ]
    groups = [
        GroupSummary(
            group_id="g1",
            name="demo",
            role=Role.MEMBER,
            member_count=3,
            last_seq=3,
            delivered_seq=3,
            read_seq=1,
            unread=2,
        )
    ]
    assert render.listing(chats, groups, False, NOON, view()) == [
        "  1  bob      online",
        "  2  charlie  offline, last seen 12:00  100+ unread",
        "  3  demo     group g1, 3 members       2 unread",
    ]
    assert render.listing(chats, groups, True, NOON, view())[-1] == "     ... and older ones"


def test_an_empty_list_says_how_to_begin() -> None:
    assert "/to USER" in render.listing([], [], False, NOON, view())[0]


def test_a_conversation_is_called_by_its_name() -> None:
    assert render.title(Direct("bob")) == "bob"
    assert render.title(Group("g1", "de\x1bmo")) == "de\\x1bmo"
