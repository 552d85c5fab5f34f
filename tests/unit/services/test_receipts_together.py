"""chatd.services.receipts: big groups, whose moves of a second are told together."""

from pathlib import Path
from typing import Any

import pytest

from chatd.services import receipts as module
from chatd.services.receipts import TOGETHER_SECONDS
from protocol.requests import Ack, MarkRead
from tests.support.builders import Core, Reader, core, create, failing, leave, post
from tests.support.hand_loop import on_a_hand_loop, pass_seconds
from tests.support.running import turns
from tests.unit.services.test_receipts import advance, cursors, told

USERS = ("alice", "bob", "carol", "dave")


@pytest.fixture(autouse=True)
def big_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EACH_UP_TO", 3)


async def club(here: Core, *senders: str) -> dict[str, Reader]:
    """A group in which these have posted, from 2 on; a connection of each member."""
    await here.submit(create("7", "alice", USERS[1:]), *(post("7", sender) for sender in senders))
    return {name: await here.connect(name) for name in USERS}


async def a_second(here: Core) -> None:
    """The moves of the second that ends now are told."""
    await pass_seconds(TOGETHER_SECONDS)
    for _ in range(3):
        await here.ledger.heads([])
        await turns()


def frames(reader: Reader) -> list[dict[str, Any]]:
    return [frame for frame in reader.frames() if frame["type"].endswith("_RECEIPT")]


@on_a_hand_loop
async def test_the_moves_of_a_second_are_one_frame(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        readers = await club(here, *["alice"] * 5)
        await advance(here, readers["bob"], Ack(group_id="7", seq=3))
        await pass_seconds(TOGETHER_SECONDS / 2)
        await advance(here, readers["carol"], Ack(group_id="7", seq=6))
        await advance(here, readers["dave"], Ack(group_id="7", seq=2))
        assert frames(readers["alice"]) == [], "not yet"
        await a_second(here)
        assert frames(readers["alice"]) == [
            {
                "type": "DELIVERY_RECEIPT",
                "groupId": "7",
                "username": "carol",
                "seq": 6,
                "others": 2,
            }
        ]
        assert await cursors(here, "bob", "7") == (3, 0), "though each has moved at once"
        await a_second(here)
        assert len(frames(readers["alice"])) == 1


@on_a_hand_loop
async def test_one_who_moves_alone_has_no_others(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        readers = await club(here, "alice")
        await advance(here, readers["bob"], MarkRead(group_id="7", seq=2))
        await a_second(here)
        (frame,) = frames(readers["alice"])
        assert "others" not in frame
        assert told(readers["alice"]) == [("READ", "bob", 2)]


@on_a_hand_loop
async def test_many_moves_of_one_user_are_one(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        readers = await club(here, "alice", "carol", "dave", "alice")
        for seq in (2, 3, 4):
            await advance(here, readers["bob"], Ack(group_id="7", seq=seq))
        await a_second(here)
        for name in ("alice", "carol", "dave"):
            assert told(readers[name]) == [("DELIVERY", "bob", 4)], "who was covered by any of them"
        await advance(here, readers["bob"], Ack(group_id="7", seq=5))
        await a_second(here)
        assert told(readers["alice"])[1:] == [("DELIVERY", "bob", 5)]
        assert len(told(readers["carol"])) == len(told(readers["dave"])) == 1


@on_a_hand_loop
async def test_delivered_and_read_are_told_apart(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        readers = await club(here, "alice", "alice")
        await advance(here, readers["bob"], Ack(group_id="7", seq=3))
        await advance(here, readers["carol"], MarkRead(group_id="7", seq=3))
        await a_second(here)
        assert sorted(told(readers["alice"])) == [("DELIVERY", "bob", 3), ("READ", "carol", 3)]


@on_a_hand_loop
async def test_nobody_is_told_of_itself(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        readers = await club(here, "bob", "carol", "alice")
        await advance(here, readers["bob"], Ack(group_id="7", seq=4))
        await advance(here, readers["carol"], Ack(group_id="7", seq=3))
        await a_second(here)
        assert told(readers["bob"]) == [("DELIVERY", "carol", 3)]
        assert told(readers["carol"]) == told(readers["alice"]) == [("DELIVERY", "bob", 4)]
        assert "others" not in frames(readers["bob"])[0]
        assert frames(readers["alice"])[0]["others"] == 1


@on_a_hand_loop
async def test_who_reads_only_its_own_tells_nobody(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        readers = await club(here, "bob", "bob")
        await advance(here, readers["bob"], Ack(group_id="7", seq=3))
        await a_second(here)
        assert [frames(reader) for reader in readers.values()] == [[], [], [], []]


@on_a_hand_loop
async def test_the_users_own_connections_are_told_at_once(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        readers = await club(here, "alice")
        desk = await here.connect("bob")
        await advance(here, readers["bob"], MarkRead(group_id="7", seq=2))
        assert told(desk) == [("READ", "bob", 2)] and told(readers["bob"]) == []
        await a_second(here)
        assert len(told(desk)) == 1


@on_a_hand_loop
async def test_what_is_confirmed_is_told_together_too(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        readers = await club(here, "alice")
        for name in USERS[1:]:
            here.receipts.delivered(name, {"7": 2})
        await here.receipts._gather.drain()
        await a_second(here)
        (frame,) = frames(readers["alice"])
        assert (frame["type"], frame["seq"], frame["others"]) == ("DELIVERY_RECEIPT", 2, 2)
        assert [frames(readers[name]) for name in USERS[1:]] == [[], [], []]


@on_a_hand_loop
async def test_groups_are_told_apart(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        readers = await club(here, "alice")
        await here.submit(create("8", "alice", USERS[1:]), post("8", "carol"))
        await advance(here, readers["bob"], Ack(group_id="7", seq=2))
        await advance(here, readers["dave"], Ack(group_id="8", seq=2))
        await a_second(here)
        assert told(readers["alice"]) == [("DELIVERY", "bob", 2)]
        assert told(readers["carol"]) == [("DELIVERY", "dave", 2)]


@on_a_hand_loop
async def test_who_left_meanwhile_is_not_told(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        readers = await club(here, "alice", "carol")
        await advance(here, readers["bob"], Ack(group_id="7", seq=3))
        await here.submit(leave("7", "carol"))
        await a_second(here)
        assert told(readers["alice"]) == [("DELIVERY", "bob", 3)]
        assert told(readers["carol"]) == []


@on_a_hand_loop
async def test_a_store_that_cannot_say_whom_to_tell_is_asked_again(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        readers = await club(here, "alice", "alice")
        await advance(here, readers["bob"], Ack(group_id="7", seq=2))
        async with failing(here.reader, "ledger"):
            await pass_seconds(TOGETHER_SECONDS)
            await here.store.memberships("bob")
            await turns()
        assert told(readers["alice"]) == []
        await advance(here, readers["bob"], Ack(group_id="7", seq=3))
        await a_second(here)
        assert told(readers["alice"]) == [("DELIVERY", "bob", 3)]


@on_a_hand_loop
async def test_who_was_covered_by_none_of_them_is_not_told(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        readers = await club(here, "alice", "dave", "dave", "alice")
        await advance(here, readers["carol"], Ack(group_id="7", seq=4))
        await a_second(here)
        assert told(readers["dave"]) == [("DELIVERY", "carol", 4)]
        # 2 and 5 are covered first; 3 and 4, which are between them, are not.
        await advance(here, readers["bob"], Ack(group_id="7", seq=2))
        await advance(here, readers["carol"], Ack(group_id="7", seq=5))
        await a_second(here)
        assert len(told(readers["alice"])) == 2
        assert len(told(readers["dave"])) == 1


@on_a_hand_loop
async def test_who_covers_only_its_own_is_not_told_of_the_others(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        readers = await club(here, "bob", "alice")
        await advance(here, readers["carol"], Ack(group_id="7", seq=2))
        await a_second(here)
        assert told(readers["bob"]) == [("DELIVERY", "carol", 2)]
        await advance(here, readers["bob"], Ack(group_id="7", seq=2))
        await advance(here, readers["carol"], Ack(group_id="7", seq=3))
        await a_second(here)
        assert len(told(readers["bob"])) == 1
        assert told(readers["alice"]) == [("DELIVERY", "carol", 3)]
