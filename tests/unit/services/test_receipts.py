"""chatd.services.receipts. Big groups are in `test_receipts_together.py`."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from chatd.errors import ChatError
from chatd.services import receipts as module
from chatd.services.receipts import EACH_UP_TO
from chatd.stores.conversation_store import Cursor, Move
from protocol.errors import ErrorCode
from protocol.requests import Ack, MarkRead
from tests.support.builders import (
    NOW_MS,
    Core,
    Reader,
    core,
    create,
    direct,
    failing,
    leave,
    post,
)
from tests.support.running import on_a_loop, until

USERS = ("alice", "bob", "carol", "dave")
CHAT = "alice-bob"
Request = Ack | MarkRead


def ask(here: Core, reader: Reader, request: Request) -> "asyncio.Future[ChatError | None]":
    """Move a cursor; the future has the answer."""
    answered: asyncio.Future[ChatError | None] = asyncio.get_running_loop().create_future()
    outbox = reader.outbox
    here.receipts.advance(outbox.principal, request, outbox, answered.set_result)
    return answered


async def advance(here: Core, reader: Reader, request: Request) -> None:
    """Move a cursor that may be moved, and wait until everybody was told."""
    assert await ask(here, reader, request) is None
    await here.receipts._tasks.finish(10)


async def refused(here: Core, reader: Reader, request: Request) -> ChatError:
    error = await ask(here, reader, request)
    assert error is not None
    return error


def told(reader: Reader) -> list[tuple[str, str, int]]:
    """The receipts that a connection was sent: DELIVERY or READ, of whom, up to where."""
    return [
        (frame["type"].removesuffix("_RECEIPT"), frame["username"], frame["seq"])
        for frame in reader.frames()
        if frame["type"].endswith("_RECEIPT")
    ]


async def cursors(here: Core, username: str, conversation_id: str = CHAT) -> tuple[int, int]:
    membership = await here.store.membership(conversation_id, username)
    assert membership is not None
    return membership.delivered, membership.read


# Who asks for it.


@on_a_loop
async def test_a_cursor_has_moved_when_it_is_answered(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*(direct("alice", "bob") for _ in range(5)))
        bob = await here.connect("bob")
        assert await ask(here, bob, Ack(chat_id=CHAT, seq=4)) is None
        assert await cursors(here, "bob") == (4, 0)
        assert await ask(here, bob, MarkRead(chat_id=CHAT, seq=5)) is None
        assert await cursors(here, "bob") == (5, 5)
        assert await ask(here, bob, Ack(chat_id=CHAT, seq=1)) is None, "no harm"
        assert await cursors(here, "bob") == (5, 5)


@on_a_loop
async def test_the_other_user_of_a_chat_is_told(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*(direct("alice", "bob") for _ in range(5)), direct("carol", "alice"))
        phone, desk, carol, bob = [
            await here.connect(name) for name in ("alice", "alice", "carol", "bob")
        ]
        await advance(here, bob, Ack(chat_id=CHAT, seq=3))
        await advance(here, bob, MarkRead(chat_id=CHAT, seq=2))
        assert told(phone) == told(desk) == [("DELIVERY", "bob", 3), ("READ", "bob", 2)]
        assert told(carol) == told(bob) == []
        assert phone.of_type("READ_RECEIPT") == [
            {"type": "READ_RECEIPT", "chatId": CHAT, "username": "bob", "seq": 2}
        ]


@on_a_loop
async def test_the_users_own_other_connections_are_told(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(direct("alice", "bob"), create("7", "alice", ["bob", "carol"]))
        phone, desk = await here.connect("bob", "phone"), await here.connect("bob", "desk")
        await advance(here, phone, MarkRead(chat_id=CHAT, seq=1))
        await advance(here, desk, Ack(group_id="7", seq=1))
        assert told(phone) == [("DELIVERY", "bob", 1)]
        assert told(desk) == [("READ", "bob", 1)]


@on_a_loop
async def test_a_cursor_that_does_not_move_is_told_to_nobody(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*(direct("alice", "bob") for _ in range(5)))
        alice, bob, desk = [await here.connect(name) for name in ("alice", "bob", "bob")]
        await advance(here, bob, MarkRead(chat_id=CHAT, seq=3))
        for seq in (3, 2, 0):
            await advance(here, bob, MarkRead(chat_id=CHAT, seq=seq))
            await advance(here, bob, Ack(chat_id=CHAT, seq=seq))
        assert told(alice) == told(desk) == [("READ", "bob", 3)]


@on_a_loop
async def test_in_a_group_those_are_told_whose_messages_it_covers_first(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        senders = ("alice", "bob", "carol", "alice", "dave", "bob")
        await here.submit(
            create("7", "alice", USERS[1:]), *(post("7", sender) for sender in senders)
        )
        readers = {name: await here.connect(name) for name in USERS}
        await advance(here, readers["bob"], Ack(group_id="7", seq=4))
        assert {name: told(reader) for name, reader in readers.items()} == {
            "alice": [("DELIVERY", "bob", 4)],
            "bob": [],
            "carol": [("DELIVERY", "bob", 4)],
            "dave": [],
        }
        await advance(here, readers["bob"], Ack(group_id="7", seq=7))
        await advance(here, readers["bob"], MarkRead(group_id="7", seq=2))
        assert told(readers["alice"])[1:] == [("DELIVERY", "bob", 7), ("READ", "bob", 2)]
        assert told(readers["carol"])[1:] == []
        assert told(readers["dave"]) == [("DELIVERY", "bob", 7)]
        assert readers["dave"].of_type("DELIVERY_RECEIPT") == [
            {"type": "DELIVERY_RECEIPT", "groupId": "7", "username": "bob", "seq": 7}
        ]


@on_a_loop
async def test_moves_of_one_commit_are_told_each_for_itself(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        senders = ("alice", "bob", "carol", "alice")
        await here.submit(
            create("7", "alice", USERS[1:]), *(post("7", sender) for sender in senders)
        )
        alice, bob, carol, dave = [await here.connect(name) for name in USERS]
        await advance(here, bob, Ack(group_id="7", seq=4))
        for reader in (alice, carol):
            reader.sink.writes.clear()
        answers = [
            ask(here, dave, Ack(group_id="7", seq=3)),
            ask(here, bob, Ack(group_id="7", seq=5)),
        ]
        await asyncio.gather(*answers)
        await here.receipts._tasks.finish(10)
        assert told(alice) == [("DELIVERY", "dave", 3), ("DELIVERY", "bob", 5)]
        assert told(bob) == [("DELIVERY", "dave", 3)]
        assert told(carol) == []


@on_a_loop
async def test_nobody_is_told_that_it_has_its_own(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(create("7", "alice", ["bob"]), post("7", "bob"), post("7", "alice"))
        alice, phone, desk = [await here.connect(name) for name in ("alice", "bob", "bob")]
        await advance(here, phone, MarkRead(group_id="7", seq=2))
        assert told(desk) == [("READ", "bob", 2)], "once, as its user's own move"
        here.receipts.delivered("bob", {"7": 3})
        await here.receipts.drain()
        assert told(alice) == [("DELIVERY", "bob", 3)]
        assert told(phone) == [] and len(told(desk)) == 1


@on_a_loop
async def test_who_has_left_the_group_is_not_told(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(create("7", "alice", ["bob", "carol"]), post("7", "carol"))
        await here.submit(leave("7", "carol"))
        alice, bob, carol = [await here.connect(name) for name in ("alice", "bob", "carol")]
        await advance(here, bob, MarkRead(group_id="7", seq=3))
        assert told(carol) == told(alice) == []


@on_a_loop
async def test_a_group_of_so_many_is_told_at_once(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        others = [f"user{n}" for n in range(EACH_UP_TO - 2)]
        for name in others:
            await here.users.create(name, "", None, NOW_MS)
        await here.submit(create("7", "alice", ["bob", *others]), post("7", "alice"))
        alice, bob = await here.connect("alice"), await here.connect("bob")
        await advance(here, bob, Ack(group_id="7", seq=2))
        assert told(alice) == [("DELIVERY", "bob", 2)]


@pytest.mark.parametrize(("blocker", "blocked"), [("alice", "bob"), ("bob", "alice")])
@on_a_loop
async def test_who_blocked_or_is_blocked_is_not_told(
    tmp_path: Path, blocker: str, blocked: str
) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*(direct("alice", "bob") for _ in range(3)))
        await here.users.block(blocker, blocked, NOW_MS)
        alice, bob, desk = [await here.connect(name) for name in ("alice", "bob", "bob")]
        await advance(here, bob, MarkRead(chat_id=CHAT, seq=2))
        assert await cursors(here, "bob") == (2, 2)
        assert told(alice) == []
        assert told(desk) == [("READ", "bob", 2)], "that is its own"


@on_a_loop
async def test_moves_that_wait_share_a_commit(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*(direct("alice", "bob") for _ in range(20)))
        alice, bob = await here.connect("alice"), await here.connect("bob")
        rollbacks = here.writer.rollbacks
        answers = [ask(here, bob, Ack(chat_id=CHAT, seq=seq)) for seq in range(1, 21)]
        assert await asyncio.gather(*answers) == [None] * 20
        await here.receipts._tasks.finish(10)
        assert told(alice) == [("DELIVERY", "bob", seq) for seq in range(1, 21)]
        assert here.writer.rollbacks == rollbacks


# What is refused.


@pytest.mark.parametrize("kind", [Ack, MarkRead])
@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"chat_id": CHAT, "seq": 6}, ErrorCode.INVALID_FIELD, "`seq`"),
        ({"chat_id": "bob-carol", "seq": 0}, ErrorCode.NOT_A_MEMBER, ""),
        ({"chat_id": "alice-carol", "seq": 1}, ErrorCode.NOT_A_MEMBER, ""),
        ({"group_id": "8", "seq": 1}, ErrorCode.NOT_A_MEMBER, ""),
        ({"chat_id": "7", "seq": 1}, ErrorCode.NOT_A_MEMBER, ""),
        ({"group_id": CHAT, "seq": 1}, ErrorCode.NOT_A_MEMBER, ""),
    ],
)
@on_a_loop
async def test_what_cannot_be_had_is_refused(
    tmp_path: Path, kind: type[Request], fields: dict[str, Any], code: ErrorCode, words: str
) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(
            *(direct("alice", "bob") for _ in range(5)), create("7", "alice", ["bob"])
        )
        await here.submit(direct("alice", "carol"))
        alice, bob, desk = [await here.connect(name) for name in ("alice", "bob", "bob")]
        error = await refused(here, bob, kind(**fields))
        assert error.code is code and words in error.message
        assert await cursors(here, "bob") == (0, 0)
        assert told(alice) == told(desk) == []


@pytest.mark.parametrize(
    ("fields", "name"), [({}, "`chatId`"), ({"chat_id": CHAT, "group_id": "7"}, "`groupId`")]
)
@on_a_loop
async def test_a_cursor_is_of_one_conversation(
    tmp_path: Path, fields: dict[str, Any], name: str
) -> None:
    async with core(tmp_path, *USERS) as here:
        bob = await here.connect("bob")
        with pytest.raises(ChatError) as error:
            ask(here, bob, Ack(seq=1, **fields))
        assert error.value.code is ErrorCode.INVALID_FIELD and name in error.value.message
        assert not bob.outbox.acks


@on_a_loop
async def test_a_refusal_does_not_take_the_others(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*(direct("alice", "bob") for _ in range(5)))
        bob = await here.connect("bob")
        answers = [ask(here, bob, Ack(chat_id=CHAT, seq=seq)) for seq in (9, 3, 7, 4)]
        found = await asyncio.gather(*answers)
        assert [None if one is None else one.code for one in found] == [
            ErrorCode.INVALID_FIELD,
            None,
            ErrorCode.INVALID_FIELD,
            None,
        ]
        assert await cursors(here, "bob") == (4, 0)


@on_a_loop
async def test_too_many_that_wait_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOVES_WAITING", 3)
    monkeypatch.setattr(module, "MOVES_A_COMMIT", 2)
    async with core(tmp_path, *USERS) as here:
        await here.submit(*(direct("alice", "bob") for _ in range(5)))
        bob = await here.connect("bob")
        answers = [ask(here, bob, Ack(chat_id=CHAT, seq=seq)) for seq in (1, 2, 3)]
        with pytest.raises(ChatError) as error:
            ask(here, bob, Ack(chat_id=CHAT, seq=4))
        assert error.value.code is ErrorCode.UNAVAILABLE and error.value.temporary
        assert await asyncio.gather(*answers) == [None] * 3
        await advance(here, bob, Ack(chat_id=CHAT, seq=5))
        assert await cursors(here, "bob") == (5, 0)


@on_a_loop
async def test_a_store_that_fails_makes_cursors_unavailable(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*(direct("alice", "bob") for _ in range(5)))
        alice, bob = await here.connect("alice"), await here.connect("bob")
        async with failing(here.writer, "member"):
            answers = [ask(here, bob, Ack(chat_id=CHAT, seq=seq)) for seq in (1, 2)]
            found = await asyncio.gather(*answers)
        assert [one.code for one in found if one] == [ErrorCode.UNAVAILABLE] * 2
        assert told(alice) == []
        await advance(here, bob, Ack(chat_id=CHAT, seq=3))
        assert told(alice) == [("DELIVERY", "bob", 3)]


@on_a_loop
async def test_a_store_that_cannot_say_whom_to_tell_has_moved_the_cursor(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(create("7", "alice", ["bob"]), post("7", "alice"), post("7", "alice"))
        alice, bob, desk = [await here.connect(name) for name in ("alice", "bob", "bob")]
        async with failing(here.reader, "ledger"):
            await advance(here, bob, Ack(group_id="7", seq=2))
        assert await cursors(here, "bob", "7") == (2, 0)
        assert told(alice) == []
        assert told(desk) == [("DELIVERY", "bob", 2)]
        await advance(here, bob, Ack(group_id="7", seq=3))
        assert told(alice) == [("DELIVERY", "bob", 3)]


# What is confirmed without asking.


@on_a_loop
async def test_a_cursor_is_known_at_once_and_stored_soon(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*(direct("alice", "bob") for _ in range(5)))
        here.receipts.delivered("bob", {CHAT: 3, "7": 1})
        assert here.receipts.known(CHAT, "bob", 0) == 3
        assert here.receipts.known(CHAT, "bob", 4) == 4
        assert here.receipts.known(CHAT, "alice", 0) == 0
        assert here.metrics.cursors_waiting == 2
        await here.receipts.drain()
        assert await cursors(here, "bob") == (3, 0)


@on_a_loop
async def test_nothing_delivered_is_nothing_to_store(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        here.receipts.delivered("bob", {})
        await here.receipts.drain()
        assert here.metrics.cursors_waiting == 0


@on_a_loop
async def test_what_is_confirmed_is_told_to_the_others_alone(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(
            *(direct("alice", "bob") for _ in range(3)),
            create("7", "alice", ["bob", "carol"]),
            post("7", "carol"),
        )
        alice, bob, carol = [await here.connect(name) for name in ("alice", "bob", "carol")]
        here.receipts.delivered("bob", {CHAT: 2, "7": 2})
        await until(lambda: bool(told(alice)) and bool(told(carol)))
        assert told(alice) == [("DELIVERY", "bob", 2)]
        assert told(carol) == [("DELIVERY", "bob", 2)]
        assert told(bob) == []
        here.receipts.delivered("bob", {CHAT: 1})
        await here.receipts.drain()
        assert len(told(alice)) == 1, "it was behind that"


@on_a_loop
async def test_an_ack_overtakes_what_is_gathered(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*(direct("alice", "bob") for _ in range(5)))
        alice, bob = await here.connect("alice"), await here.connect("bob")
        here.receipts.delivered("bob", {CHAT: 2})
        await advance(here, bob, Ack(chat_id=CHAT, seq=4))
        await here.receipts.drain()
        assert told(alice) == [("DELIVERY", "bob", 4)]
        assert await cursors(here, "bob") == (4, 0)


@on_a_loop
async def test_what_is_confirmed_waits_for_a_store_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*(direct("alice", "bob") for _ in range(5)))
        alice = await here.connect("alice")
        async with failing(here.writer, "member"):
            here.receipts.delivered("bob", {CHAT: 2})
            await here.receipts.drain()
            assert here.receipts.known(CHAT, "bob", 0) == 2
        await here.receipts.drain()
        assert await cursors(here, "bob") == (2, 0)
        assert told(alice) == [("DELIVERY", "bob", 2)]


@on_a_loop
async def test_a_conversation_that_was_left_meanwhile_is_no_trouble(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(create("7", "alice", ["bob"]), direct("alice", "bob"))
        here.receipts.delivered("bob", {"7": 1, CHAT: 1, "nowhere": 3})
        await here.submit(leave("7", "bob"))
        await here.receipts.drain()
        assert await cursors(here, "bob") == (1, 0)
        assert here.receipts.known("7", "bob", 0) == 0


@on_a_loop
async def test_the_first_ack_of_a_connection_is_noted(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*(direct("alice", "bob") for _ in range(3)))
        await here.store.advance([Move(CHAT, "bob", Cursor.DELIVERED, 3)])
        reading, acking = await here.connect("bob"), await here.connect("bob")
        await advance(here, reading, MarkRead(chat_id=CHAT, seq=1))
        await advance(here, acking, Ack(chat_id=CHAT, seq=1))
        assert (reading.outbox.acks, acking.outbox.acks) == (False, True)
