"""chatd.services.messages"""

from pathlib import Path
from typing import Any

import pytest

from chatd import ids
from chatd.errors import ChatError
from chatd.services.messages import Messages, check_post
from chatd.stores.ledger import Entry, Outcome
from protocol import limits
from protocol.errors import ErrorCode
from protocol.requests import GroupChat, OneToOneChat
from tests.support.builders import Core, core, create, principal
from tests.support.running import on_a_loop

CHAT = "alice-bob"
IN_CHAT = ids.message_id(CHAT, 3, 1)


def refusal(**fields: Any) -> ChatError:
    with pytest.raises(ChatError) as refused:
        check_post(OneToOneChat(to="bob", **({"content": "x"} | fields)), CHAT)
    return refused.value


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "x" * limits.CONTENT_BYTES},
        {"content": "é" * (limits.CONTENT_BYTES // 2)},
        {"content": "\U0001f600" * (limits.CONTENT_BYTES // 4)},
        {"content": "\0\n "},
        {"client_msg_id": "a printable ß"},
        {"reply_to": IN_CHAT, "mentions": ["bob"]},
    ],
    ids=lambda fields: ",".join(fields),
)
def test_a_good_message_is_good(fields: dict[str, Any]) -> None:
    check_post(OneToOneChat(to="bob", **({"content": "x"} | fields)), CHAT)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("content", ""),
        ("ttl_seconds", 60),
        ("client_msg_id", "line\nbreak"),
        ("client_msg_id", "\x7f"),
        ("reply_to", "nonsense"),
        ("reply_to", ids.message_id("alice-carol", 3, 1)),
    ],
)
def test_a_wrong_field_is_named(field: str, value: object) -> None:
    error = refusal(**{field: value})
    assert error.code is ErrorCode.INVALID_FIELD
    first, *others = field.split("_")
    assert f"`{first}{''.join(word.capitalize() for word in others)}`" in error.message


@pytest.mark.parametrize("character", ["x", "é", "\U0001f600"])
def test_a_content_over_the_limit_of_bytes_is_too_large(character: str) -> None:
    width = len(character.encode())
    error = refusal(content=character * (limits.CONTENT_BYTES // width + 1))
    assert error.code is ErrorCode.TOO_LARGE
    assert "`content`" in error.message and str(limits.CONTENT_BYTES) in error.message


class Answers:
    """Takes outcomes."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.outcomes: list[Outcome] = []

    def __call__(self, entry: Entry, outcome: Outcome) -> None:
        self.entries.append(entry)
        self.outcomes.append(outcome)


def post_direct(messages: Messages, answers: Answers, **fields: Any) -> None:
    request = OneToOneChat(**({"to": "bob", "content": "x"} | fields))
    messages.post_direct(principal("alice"), request, None, answers)


@pytest.mark.parametrize(
    ("fields", "name"),
    [({"to": "alice"}, "`to`"), ({"chat_id": "alice-carol"}, "`chatId`")],
)
@on_a_loop
async def test_a_direct_message_goes_to_another_user_and_its_chat(
    tmp_path: Path, fields: dict[str, Any], name: str
) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        answers = Answers()
        with pytest.raises(ChatError) as refused:
            post_direct(here.messages, answers, **fields)
        assert refused.value.code is ErrorCode.INVALID_FIELD
        assert name in refused.value.message
        await here.journal.drain()
        assert answers.outcomes == []


@on_a_loop
async def test_a_direct_message_is_stored_as_it_was_asked_for(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        bob = await here.connect("bob")
        answers = Answers()
        post_direct(
            here.messages,
            answers,
            content="hello",
            chat_id=CHAT,
            client_msg_id="k",
            reply_to=IN_CHAT,
            mentions=["bob"],
        )
        await here.journal.drain()
        (outcome,) = answers.outcomes
        assert (outcome.code, outcome.seq, outcome.at_ms) == (None, 1, here.clock.now_ms())
        (frame,) = bob.frames()
        assert frame == {
            "type": "ONE_TO_ONE_CHAT",
            "id": ids.message_id(CHAT, 1, outcome.nonce),
            "seq": 1,
            "prev": 0,
            "chatId": CHAT,
            "from": "alice",
            "to": "bob",
            "content": "hello",
            "sentAt": here.clock.now_ms(),
            "clientMsgId": "k",
            "replyTo": IN_CHAT,
            "mentions": ["bob"],
        }


@on_a_loop
async def test_a_client_msg_id_makes_a_repeat_harmless(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        answers = Answers()
        post_direct(here.messages, answers, client_msg_id="k")
        post_direct(here.messages, answers, client_msg_id="k")
        here.clock.advance(60)
        post_direct(here.messages, answers, client_msg_id="k", content="another")
        await here.journal.drain()
        assert [outcome.duplicate for outcome in answers.outcomes] == [False, True, False]
        assert answers.outcomes[2].code is ErrorCode.CLIENT_MSG_ID_REUSED


@on_a_loop
async def test_a_message_to_a_group_reaches_its_members(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        bob = await here.connect("bob")
        await here.submit(create("7", "alice", ["bob"]))
        answers = Answers()
        request = GroupChat(group_id="7", content="hello", mentions=[])
        here.messages.post_group(principal("alice"), request, None, answers)
        here.messages.post_group(principal("eve"), request, None, answers)
        await here.journal.drain()
        assert [outcome.code for outcome in answers.outcomes] == [None, ErrorCode.NOT_A_MEMBER]
        frame = bob.frames()[-1]
        assert (frame["groupId"], frame["content"], frame["seq"]) == ("7", "hello", 2)
        assert "to" not in frame and "mentions" not in frame


@on_a_loop
async def test_every_message_has_an_id_of_its_own(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        answers = Answers()
        for n in range(600):
            post_direct(here.messages, answers, content=f"{n}")
        await here.journal.drain()
        assert len({outcome.nonce for outcome in answers.outcomes}) == 600


@on_a_loop
async def test_a_message_that_is_refused_at_once_is_not_stored(tmp_path: Path) -> None:
    async with core(tmp_path, "alice", "bob") as here:
        await _refuse(here, ttl_seconds=5)
        await _refuse(here, content="")
        await here.journal.drain()
        assert await here.ledger.heads([CHAT]) == {}


async def _refuse(here: Core, **fields: Any) -> None:
    with pytest.raises(ChatError):
        post_direct(here.messages, Answers(), **fields)
