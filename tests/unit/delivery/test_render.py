"""chatd.delivery.render"""

from typing import Any

import msgspec
import pytest

from chatd import ids
from chatd.delivery.render import EventPush, ack, history_message, released_push, stored_push
from chatd.events import Event, EventKind, Message, MessageBody, blanked
from chatd.stores.ledger import Entry, Outcome
from protocol.codec import encode
from protocol.model import HistoryVisibility, Role
from tests.support.builders import NOW_MS, create, direct, entry, join, leave, post
from tests.support.changes import change_role, delete, edit, place, react, update

CHAT = "alice-bob"
IN_GROUP = place(post("7", "bob"), 5)
IN_CHAT = place(direct("alice", "bob"), 5)
IN_GROUP_ID, IN_CHAT_ID = ids.message_id(*IN_GROUP), ids.message_id(*IN_CHAT)


def as_json(frame: EventPush) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(encode(frame))
    return found


def stored(made: Entry, seq: int = 9, *, version: int = 0) -> Event:
    """The event as a store reads it."""
    return Event(
        made.conversation_id,
        seq,
        made.nonce,
        made.kind,
        made.sender,
        made.sealed,
        made.at_ms,
        version,
    )


ABOUT_GROUP = {"groupId": "7", "at": NOW_MS, "seq": 9, "prev": 8}
ABOUT_MESSAGE = ABOUT_GROUP | {"id": IN_GROUP_ID, "from": "bob"}
CASES: list[tuple[Entry, dict[str, Any]]] = [
    (
        create("7", "alice", ["bob"], is_open=True, history=HistoryVisibility.ALL),
        ABOUT_GROUP
        | {
            "type": "GROUP_CREATED",
            "name": "group 7",
            "by": "alice",
            "members": ["alice", "bob"],
            "open": True,
            "history": "all",
        },
    ),
    (
        join("7", "bob"),
        ABOUT_GROUP | {"type": "GROUP_MEMBER_JOINED", "username": "bob", "by": "bob"},
    ),
    (
        leave("7", "bob"),
        ABOUT_GROUP | {"type": "GROUP_MEMBER_LEFT", "username": "bob", "by": "bob"},
    ),
    (
        change_role("7", "alice", "bob", Role.ADMIN),
        ABOUT_GROUP | {"type": "ROLE_CHANGED", "username": "bob", "role": "ADMIN", "by": "alice"},
    ),
    (
        update("7", "alice", name="new", topic=""),
        ABOUT_GROUP | {"type": "GROUP_UPDATED", "name": "new", "topic": "", "by": "alice"},
    ),
    (
        update("7", "alice", avatar_url="http://a/b"),
        ABOUT_GROUP | {"type": "GROUP_UPDATED", "avatarUrl": "http://a/b", "by": "alice"},
    ),
    (
        edit(IN_GROUP, "bob", "new"),
        ABOUT_MESSAGE | {"type": "MESSAGE_EDITED", "content": "new", "version": 4},
    ),
    (delete(IN_GROUP, "bob"), ABOUT_MESSAGE | {"type": "MESSAGE_DELETED"}),
    (react(IN_GROUP, "bob", "🎉"), ABOUT_MESSAGE | {"type": "REACTION", "emoji": "🎉"}),
    (
        react(IN_GROUP, "bob", "🎉", remove=True),
        ABOUT_MESSAGE | {"type": "REACTION", "emoji": "🎉", "remove": True},
    ),
]


def version_of(made: Entry) -> int:
    return 4 if made.kind is EventKind.MESSAGE_EDITED else 0


@pytest.mark.parametrize(("made", "expected"), CASES, ids=[made.kind.name for made, _ in CASES])
def test_an_event_is_the_same_frame_live_and_from_the_store(
    made: Entry, expected: dict[str, Any]
) -> None:
    outcome = Outcome(seq=9, nonce=made.nonce, at_ms=NOW_MS, version=version_of(made))
    event = stored(made, version=version_of(made))
    assert as_json(released_push(made, outcome)) == expected
    assert as_json(stored_push(event, offline=False)) == expected
    assert as_json(stored_push(event, offline=True)) == expected | {"offline": True}


@pytest.mark.parametrize("change", [edit, delete, react])
def test_a_change_in_a_chat_has_its_chat_id(change: Any) -> None:
    frame = as_json(stored_push(stored(change(IN_CHAT, "alice")), offline=False))
    assert (frame["chatId"], frame["id"]) == (CHAT, IN_CHAT_ID)
    assert "groupId" not in frame


def test_what_was_blanked_says_nothing() -> None:
    made = entry(
        CHAT,
        EventKind.DIRECT_MESSAGE,
        "alice",
        MessageBody(content="secret", to="bob", client_msg_id="k", mentions=["bob"]),
    )
    made.sealed = blanked(made.kind, made.sealed)
    frame = as_json(stored_push(stored(made), offline=False))
    assert frame["content"] == "" and "mentions" not in frame
    assert (frame["to"], frame["clientMsgId"], frame["from"]) == ("bob", "k", "alice")
    changed = edit(IN_CHAT, "alice", "secret")
    changed.sealed = blanked(changed.kind, changed.sealed)
    frame = as_json(stored_push(stored(changed, version=3), offline=False))
    assert (frame["content"], frame["version"], frame["id"]) == ("", 3, IN_CHAT_ID)


# Acks.


def test_the_ack_of_a_post_has_its_id() -> None:
    made = direct("alice", "bob", key="k")
    outcome = Outcome(seq=9, nonce=made.nonce, at_ms=NOW_MS + 1)
    found = ack(made, outcome, "r")
    assert (found.ref, found.id, found.seq, found.prev) == (
        "r",
        ids.message_id(CHAT, 9, made.nonce),
        9,
        8,
    )
    assert (found.chat_id, found.group_id, found.client_msg_id) == (CHAT, None, "k")
    assert (found.sent_at, found.duplicate, found.version) == (NOW_MS + 1, False, None)


@pytest.mark.parametrize(
    ("at", "chat_id", "group_id"), [(IN_GROUP, None, "7"), (IN_CHAT, CHAT, None)]
)
def test_the_ack_of_a_change_has_the_id_of_its_message(
    at: ids.Place, chat_id: str | None, group_id: str | None
) -> None:
    made = edit(at, "alice")
    found = ack(made, Outcome(seq=9, nonce=made.nonce, at_ms=NOW_MS, version=3), None)
    assert (found.id, found.seq, found.version) == (ids.message_id(*at), 9, 3)
    assert (found.chat_id, found.group_id) == (chat_id, group_id)
    for change in (delete(at, "alice"), react(at, "alice")):
        found = ack(change, Outcome(seq=4, nonce=change.nonce, duplicate=True), None)
        assert (found.id, found.seq, found.version) == (ids.message_id(*at), 4, None)
        assert found.duplicate


@pytest.mark.parametrize("made", [create("7", "alice"), join("7", "bob"), leave("7", "bob")])
def test_the_ack_of_what_is_about_no_message_has_no_id(made: Entry) -> None:
    found = ack(made, Outcome(seq=9, nonce=made.nonce, at_ms=NOW_MS), None)
    assert (found.id, found.sent_at, found.group_id, found.seq) == (None, None, "7", 9)


# Histories.


def test_a_message_as_it_was_posted() -> None:
    made = direct("alice", "bob", "hello", key="k")
    found = history_message(Message(stored(made, 5)))
    assert (found.id, found.seq, found.prev) == (ids.message_id(CHAT, 5, made.nonce), 5, 4)
    assert (found.chat_id, found.group_id, found.to) == (CHAT, None, "bob")
    assert (found.from_, found.content, found.sent_at) == ("alice", "hello", NOW_MS)
    assert (found.client_msg_id, found.version, found.deleted) == ("k", 1, False)
    assert (found.edited_at, found.edited_by, found.reactions) == (None, None, None)


@pytest.mark.parametrize(("by", "edited_by"), [("bob", None), ("alice", "alice")])
def test_an_edited_message_says_what_its_last_edit_said(by: str, edited_by: str | None) -> None:
    change = edit(IN_GROUP, by, "new", at_ms=NOW_MS + 5)
    message = Message(stored(post("7", "bob", "old"), 5), 3, stored(change, version=3))
    found = history_message(message)
    assert (found.content, found.version, found.sent_at) == ("new", 3, NOW_MS)
    assert (found.edited_at, found.edited_by) == (NOW_MS + 5, edited_by)
    assert (found.group_id, found.chat_id) == ("7", None)


def test_reactions_are_by_emoji_in_the_order_in_which_they_came() -> None:
    reactions = [("👍", "carol"), ("🎉", "bob"), ("👍", "alice")]
    found = history_message(Message(stored(post("7", "bob")), reactions=reactions))
    assert found.reactions == {"👍": ["carol", "alice"], "🎉": ["bob"]}


def test_a_deleted_message_says_nothing_and_keeps_its_version() -> None:
    posted, change = post("7", "bob", "secret"), edit(IN_GROUP, "alice", "secret too")
    for one in (posted, change):
        one.sealed = blanked(one.kind, one.sealed)
    found = history_message(Message(stored(posted, 5), 2, stored(change, version=2), True))
    assert (found.content, found.deleted, found.version) == ("", True, 2)
    assert (found.edited_by, found.edited_at) == ("alice", NOW_MS)
    assert found.reactions is None and found.mentions is None
