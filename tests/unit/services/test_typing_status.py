"""chatd.services.typing_status, on a loop whose time the test moves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from chatd.errors import ChatError
from chatd.services import typing_status as module
from chatd.services.typing_status import LASTS_SECONDS, SHOWN, TELL_SECONDS
from protocol.errors import ErrorCode
from protocol.requests import Typing
from tests.support.builders import NOW_MS, Core, Reader, core, create, direct, leave, principal
from tests.support.hand_loop import on_a_hand_loop, pass_seconds
from tests.support.running import turns

USERS = ("alice", "bob", "carol")
CHAT = "alice-bob"


@asynccontextmanager
async def chat(folder: Path) -> AsyncIterator[tuple[Core, Reader]]:
    """A core in which alice and bob have a chat and with carol a group; and a connection of bob."""
    async with core(folder, *USERS) as here:
        await here.submit(direct("alice", "bob"), create("7", "alice", ["bob", "carol"]))
        yield here, await live(here, "bob")


async def live(here: Core, username: str) -> Reader:
    """A connection that is up to date, with nothing sent to it yet."""
    reader = await here.connect(username)
    for _ in range(3):
        await here.ledger.heads([])
        await turns()
    reader.sink.writes.clear()
    return reader


async def types(here: Core, username: str, is_typing: bool = True, **fields: Any) -> None:
    request = Typing(**({"chat_id": CHAT} if not fields else fields), is_typing=is_typing)
    await here.typing_status.typing(principal(username), request)


def told(reader: Reader) -> list[tuple[str, bool]]:
    """Who a connection was told of, and whether they type."""
    return [(frame["username"], frame["isTyping"]) for frame in reader.of_type("TYPING")]


@on_a_hand_loop
async def test_the_others_are_told_where_who_types(tmp_path: Path) -> None:
    async with chat(tmp_path) as (here, bob):
        alice, desk, carol = [await live(here, name) for name in ("alice", "alice", "carol")]
        await types(here, "alice")
        await types(here, "alice", group_id="7")
        assert bob.frames() == [
            {"type": "TYPING", "chatId": CHAT, "username": "alice", "isTyping": True},
            {"type": "TYPING", "groupId": "7", "username": "alice", "isTyping": True},
        ]
        assert told(carol) == [("alice", True)]
        assert told(alice) == told(desk) == [], "not to oneself"


@on_a_hand_loop
async def test_who_stops_is_told_of_at_once_and_once(tmp_path: Path) -> None:
    async with chat(tmp_path) as (here, bob):
        await types(here, "alice")
        await types(here, "alice", False)
        await types(here, "alice", False)
        assert told(bob) == [("alice", True), ("alice", False)]
        await pass_seconds(2 * LASTS_SECONDS)
        assert len(told(bob)) == 2
        await types(here, "alice")
        assert told(bob)[2:] == [("alice", True)], "and may begin again"


@on_a_hand_loop
async def test_who_did_not_type_does_not_stop(tmp_path: Path) -> None:
    async with chat(tmp_path) as (here, bob):
        await types(here, "alice", False)
        assert told(bob) == []


@on_a_hand_loop
async def test_renewals_are_passed_on_now_and_then(tmp_path: Path) -> None:
    async with chat(tmp_path) as (here, bob):
        for _ in range(24):
            await types(here, "alice")
            await pass_seconds(0.5)
        assert told(bob) == [("alice", True)] * int(12 / TELL_SECONDS)


@on_a_hand_loop
async def test_typing_ends_by_itself_after_the_last_renewal(tmp_path: Path) -> None:
    async with chat(tmp_path) as (here, bob):
        await types(here, "alice")
        await pass_seconds(LASTS_SECONDS - 0.25)
        assert told(bob) == [("alice", True)]
        await pass_seconds(0.25)
        assert told(bob) == [("alice", True), ("alice", False)]
        await pass_seconds(3 * LASTS_SECONDS)
        assert len(told(bob)) == 2


@on_a_hand_loop
async def test_a_renewal_that_is_not_passed_on_counts_too(tmp_path: Path) -> None:
    async with chat(tmp_path) as (here, bob):
        await types(here, "alice")
        await pass_seconds(TELL_SECONDS - 0.25)
        await types(here, "alice")
        await pass_seconds(LASTS_SECONDS - 0.25)
        assert told(bob) == [("alice", True)]
        await pass_seconds(0.25)
        assert told(bob) == [("alice", True), ("alice", False)]


@on_a_hand_loop
async def test_each_conversation_and_user_has_its_own_time(tmp_path: Path) -> None:
    async with chat(tmp_path) as (here, bob):
        await types(here, "alice", group_id="7")
        await pass_seconds(2)
        await types(here, "carol", group_id="7")
        await types(here, "alice")
        await pass_seconds(4)
        assert told(bob)[3:] == [("alice", False)]
        await pass_seconds(2)
        assert sorted(told(bob)[4:]) == [("alice", False), ("carol", False)]


@on_a_hand_loop
async def test_a_second_device_renews_the_same(tmp_path: Path) -> None:
    async with chat(tmp_path) as (here, bob):
        await types(here, "alice")
        await here.typing_status.typing(
            principal("alice", "desk"), Typing(chat_id=CHAT, is_typing=True)
        )
        assert told(bob) == [("alice", True)]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"chat_id": "alice-carol"}, ErrorCode.NOT_A_MEMBER),
        ({"chat_id": "7"}, ErrorCode.NOT_A_MEMBER),
        ({"group_id": CHAT}, ErrorCode.NOT_A_MEMBER),
        ({"group_id": "8"}, ErrorCode.NOT_A_MEMBER),
        ({"chat_id": CHAT, "group_id": "7"}, ErrorCode.INVALID_FIELD),
        ({"chat_id": None}, ErrorCode.INVALID_FIELD),
    ],
)
@pytest.mark.parametrize("is_typing", [True, False])
@on_a_hand_loop
async def test_only_who_may_be_heard_is(
    tmp_path: Path, fields: dict[str, Any], code: ErrorCode, is_typing: bool
) -> None:
    async with chat(tmp_path) as (here, bob):
        with pytest.raises(ChatError) as refused:
            await types(here, "alice", is_typing, **fields)
        assert refused.value.code is code
        assert told(bob) == []


@on_a_hand_loop
async def test_between_who_blocked_and_is_blocked_nothing_is_told(tmp_path: Path) -> None:
    async with chat(tmp_path) as (here, bob):
        await types(here, "alice")
        await here.users.block("bob", "alice", NOW_MS)
        for username in ("alice", "bob"):
            with pytest.raises(ChatError) as refused:
                await types(here, username)
            assert refused.value.code is ErrorCode.BLOCKED
        await types(here, "alice", group_id="7")
        assert told(bob) == [("alice", True), ("alice", True)], "in the chat and in the group"


@on_a_hand_loop
async def test_who_left_types_no_more(tmp_path: Path) -> None:
    async with chat(tmp_path) as (here, bob):
        await types(here, "carol", group_id="7")
        await here.submit(leave("7", "carol"))
        with pytest.raises(ChatError):
            await types(here, "carol", group_id="7")
        await pass_seconds(LASTS_SECONDS)
        assert told(bob) == [("carol", True), ("carol", False)]


@on_a_hand_loop
async def test_so_many_are_shown_in_a_conversation(tmp_path: Path) -> None:
    names = [f"user{n}" for n in range(SHOWN + 1)]
    async with core(tmp_path, "alice", *names) as here:
        await here.submit(create("7", "alice", names))
        alice = await live(here, "alice")
        for name in names:
            await types(here, name, group_id="7")
        assert told(alice) == [(name, True) for name in names[:SHOWN]]
        await types(here, names[0], False, group_id="7")
        await types(here, names[-1], group_id="7")
        assert told(alice)[SHOWN:] == [(names[0], False), (names[-1], True)]
        await pass_seconds(LASTS_SECONDS)
        assert len(told(alice)) == SHOWN + 2 + SHOWN


@on_a_hand_loop
async def test_so_many_are_told_of_on_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TYPISTS", 1)
    async with chat(tmp_path) as (here, bob):
        await types(here, "alice", group_id="7")
        await types(here, "carol", group_id="7")
        assert told(bob) == [("alice", True)]
        await pass_seconds(LASTS_SECONDS)
        await types(here, "carol", group_id="7")
        assert told(bob)[1:] == [("alice", False), ("carol", True)]


@on_a_hand_loop
async def test_who_is_slow_or_behind_is_not_told(tmp_path: Path) -> None:
    async with chat(tmp_path) as (here, bob):
        held = await here.connect("bob", resumes=True)
        bob.stall()
        await types(here, "alice")
        assert told(bob) == told(held) == []
        bob.wake()
        await types(here, "alice", False)
        assert told(bob) == [("alice", False)]


@on_a_hand_loop
async def test_what_is_stopped_tells_nothing_more(tmp_path: Path) -> None:
    async with chat(tmp_path) as (here, bob):
        await types(here, "alice")
        here.typing_status.stop()
        await pass_seconds(2 * LASTS_SECONDS)
        assert told(bob) == [("alice", True)]
