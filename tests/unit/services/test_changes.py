"""chatd.services.changes: edits, deletes and reactions."""

from pathlib import Path
from typing import Any

import pytest

from chatd import ids
from chatd.errors import ChatError
from chatd.stores.ledger import Entry, Outcome
from protocol import limits
from protocol.errors import ErrorCode
from protocol.requests import DeleteMessage, EditMessage, React
from tests.support.builders import Core, Reader, core, create, direct, post, principal
from tests.support.changes import codes, place
from tests.support.running import on_a_loop, until

USERS = ("alice", "bob", "carol")
CHAT = "alice-bob"
Request = EditMessage | DeleteMessage | React


class Answers:
    """Takes outcomes."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.outcomes: list[Outcome] = []

    def __call__(self, entry: Entry, outcome: Outcome) -> None:
        self.entries.append(entry)
        self.outcomes.append(outcome)


async def said(here: Core) -> tuple[str, str]:
    """The ids of a message of alice to bob, and of one of bob in a group with her."""
    in_chat, in_group = direct("alice", "bob", "one"), post("7", "bob", "two")
    await here.submit(in_chat, create("7", "alice", ["bob"]), in_group)
    return ids.message_id(*place(in_chat, 1)), ids.message_id(*place(in_group, 2))


async def live(here: Core, username: str) -> Reader:
    """A connection that is up to date in the chat and the group."""
    reader = await here.connect(username)
    rooms = [here.hub.rooms[name] for name in (CHAT, "7")]
    await until(lambda: all(reader.outbox in room.live for room in rooms))
    return reader


async def change(
    here: Core, username: str, *requests: Request, origin: Reader | None = None
) -> list[Outcome]:
    answers, caller = Answers(), principal(username)
    outbox = None if origin is None else origin.outbox
    for request in requests:
        match request:
            case EditMessage():
                here.changes.edit(caller, request, outbox, answers)
            case DeleteMessage():
                here.changes.delete(caller, request, outbox, answers)
            case React():
                here.changes.react(caller, request, outbox, answers)
    await here.journal.drain()
    return answers.outcomes


@on_a_loop
async def test_changes_are_told_to_the_members_in_order(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        in_chat, in_group = await said(here)
        phone, bob = await here.connect("alice", resumes=True), await live(here, "bob")
        outcomes = await change(
            here,
            "alice",
            EditMessage(chat_id=CHAT, id=in_chat, content="1", version=1),
            React(chat_id=CHAT, id=in_chat, emoji="🎉"),
            React(chat_id=CHAT, id=in_chat, emoji="🎉", remove=True),
            EditMessage(group_id="7", id=in_group, content="2"),
            DeleteMessage(group_id="7", id=in_group),
            DeleteMessage(chat_id=CHAT, id=in_chat),
            origin=phone,
        )
        assert codes(outcomes) == [None] * 6
        assert [outcome.seq for outcome in outcomes] == [2, 3, 4, 3, 4, 5]
        assert [outcome.version for outcome in outcomes] == [2, 0, 0, 2, 0, 0]
        now = here.clock.now_ms()
        frames = [frame for frame in bob.frames() if "at" in frame]
        about_chat = {"chatId": CHAT, "id": in_chat, "from": "alice", "at": now}
        chat = [frame for frame in frames if "chatId" in frame]
        assert chat == [
            about_chat
            | {"type": "MESSAGE_EDITED", "seq": 2, "prev": 1, "content": "1", "version": 2},
            about_chat | {"type": "REACTION", "seq": 3, "prev": 2, "emoji": "🎉"},
            about_chat | {"type": "REACTION", "seq": 4, "prev": 3, "emoji": "🎉", "remove": True},
            about_chat | {"type": "MESSAGE_DELETED", "seq": 5, "prev": 4},
        ]
        group = [frame for frame in frames if frame.get("id") == in_group]
        assert [frame["type"] for frame in group] == ["MESSAGE_EDITED", "MESSAGE_DELETED"]
        assert {frame["groupId"] for frame in group} == {"7"}
        assert phone.frames() == []


@on_a_loop
async def test_a_change_that_is_no_news_is_told_to_nobody(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        in_chat, _ = await said(here)
        await change(here, "bob", React(chat_id=CHAT, id=in_chat, emoji="🎉"))
        alice = await live(here, "alice")
        before = alice.frames()
        outcomes = await change(
            here,
            "bob",
            React(chat_id=CHAT, id=in_chat, emoji="🎉"),
            React(chat_id=CHAT, id=in_chat, emoji="👍", remove=True),
        )
        assert [outcome.duplicate for outcome in outcomes] == [True, True]
        assert alice.frames() == before
        assert here.metrics.duplicates == 2


@pytest.mark.parametrize(
    "emoji",
    [
        "👍",
        "👍🏽",
        "❤️",
        "❤",
        "👨\u200d👩\u200d👧\u200d👦",
        "🇩🇪",
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        "1️⃣",
        "🫠",
    ],
)
@on_a_loop
async def test_one_emoji_is_a_reaction(tmp_path: Path, emoji: str) -> None:
    async with core(tmp_path, *USERS) as here:
        in_chat, _ = await said(here)
        assert len(emoji) <= limits.EMOJI_CHARS
        (outcome,) = await change(here, "bob", React(chat_id=CHAT, id=in_chat, emoji=emoji))
        assert outcome.code is None


@pytest.mark.parametrize(
    "emoji", ["", "a", "+1", ":thumbsup:", "👍👍", "👍 ", " 👍", "👍a", "1", "\u200d", "\ufe0f"]
)
@on_a_loop
async def test_anything_else_is_none(tmp_path: Path, emoji: str) -> None:
    async with core(tmp_path, *USERS) as here:
        in_chat, _ = await said(here)
        for remove in (False, True):
            with pytest.raises(ChatError) as refused:
                await change(
                    here, "bob", React(chat_id=CHAT, id=in_chat, emoji=emoji, remove=remove)
                )
            assert refused.value.code is ErrorCode.INVALID_FIELD
            assert "`emoji`" in refused.value.message
        await here.journal.drain()
        assert await here.ledger.heads([CHAT]) == {CHAT: 1}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", ErrorCode.INVALID_FIELD),
        ("x" * (limits.CONTENT_BYTES + 1), ErrorCode.TOO_LARGE),
        ("é" * (limits.CONTENT_BYTES // 2 + 1), ErrorCode.TOO_LARGE),
    ],
    ids=["empty", "long", "long in bytes"],
)
@on_a_loop
async def test_an_edit_says_what_a_message_might(
    tmp_path: Path, content: str, code: ErrorCode
) -> None:
    async with core(tmp_path, *USERS) as here:
        in_chat, _ = await said(here)
        with pytest.raises(ChatError) as refused:
            await change(here, "alice", EditMessage(chat_id=CHAT, id=in_chat, content=content))
        assert refused.value.code is code and "`content`" in refused.value.message
        most = "x" * limits.CONTENT_BYTES
        (outcome,) = await change(
            here, "alice", EditMessage(chat_id=CHAT, id=in_chat, content=most)
        )
        assert outcome.code is None


def requests_about(**fields: Any) -> list[Request]:
    return [
        EditMessage(content="x", **fields),
        DeleteMessage(**fields),
        React(emoji="👍", **fields),
    ]


@on_a_loop
async def test_an_id_names_a_message_of_the_conversation_or_none(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        in_chat, in_group = await said(here)
        for message_id in ("nonsense", in_group, in_chat + "x", "", "!" * 90):
            for request in requests_about(chat_id=CHAT, id=message_id):
                with pytest.raises(ChatError) as refused:
                    await change(here, "alice", request)
                assert refused.value.code is ErrorCode.NO_SUCH_MESSAGE
        unknown = ids.message_id(CHAT, 1, 5)
        outcomes = await change(here, "alice", *requests_about(chat_id=CHAT, id=unknown))
        assert codes(outcomes) == [ErrorCode.NO_SUCH_MESSAGE] * 3


@pytest.mark.parametrize(
    ("fields", "name"), [({}, "`chatId`"), ({"chat_id": CHAT, "group_id": "7"}, "`groupId`")]
)
@on_a_loop
async def test_a_change_is_in_one_conversation(
    tmp_path: Path, fields: dict[str, Any], name: str
) -> None:
    async with core(tmp_path, *USERS) as here:
        in_chat, _ = await said(here)
        for request in requests_about(id=in_chat, **fields):
            with pytest.raises(ChatError) as refused:
                await change(here, "alice", request)
            assert refused.value.code is ErrorCode.INVALID_FIELD
            assert name in refused.value.message


@on_a_loop
async def test_a_group_is_not_named_as_a_chat_nor_a_chat_as_a_group(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        in_chat, in_group = await said(here)
        wrong = [
            *requests_about(group_id=CHAT, id=in_chat),
            *requests_about(chat_id="7", id=in_group),
        ]
        assert codes(await change(here, "alice", *wrong)) == [ErrorCode.NOT_A_MEMBER] * 6
