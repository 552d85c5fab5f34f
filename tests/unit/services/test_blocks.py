"""chatd.services.blocks, and what the other services make of a block."""

from pathlib import Path

import pytest

from chatd.errors import ChatError
from chatd.services import blocks as module
from protocol.errors import ErrorCode
from protocol.model import PresenceStatus
from protocol.requests import GetOneToOneHistory, NewOneToOneChat, SubscribePresence
from tests.support.builders import Core, Reader, core, create, direct, principal
from tests.support.running import on_a_loop, until

USERS = ("alice", "bob", "carol")
ALICE, BOB = principal("alice"), principal("bob")


async def arrive(here: Core, username: str) -> Reader:
    reader = await here.connect(username)
    await here.presence.connected(reader.outbox, reader.outbox.connection_id)
    return reader


def told(reader: Reader) -> list[tuple[str, str]]:
    updates = reader.of_type("PRESENCE_UPDATE")
    return [(frame["username"], frame["status"]) for frame in updates]


@on_a_loop
async def test_a_block_is_new_once(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        assert await here.blocks.block(ALICE, "carol")
        assert await here.blocks.block(ALICE, "bob")
        assert not await here.blocks.block(ALICE, "bob")
        assert await here.blocks.blocked(ALICE) == ["bob", "carol"]
        assert await here.blocks.blocked(BOB) == []
        assert await here.blocks.unblock(ALICE, "bob")
        assert not await here.blocks.unblock(ALICE, "bob")
        assert not await here.blocks.unblock(ALICE, "nobody")
        assert await here.blocks.blocked(ALICE) == ["carol"]


@pytest.mark.parametrize(
    ("username", "code"),
    [("alice", ErrorCode.INVALID_FIELD), ("nobody", ErrorCode.NO_SUCH_USER)],
)
@on_a_loop
async def test_one_blocks_another_who_is_there(
    tmp_path: Path, username: str, code: ErrorCode
) -> None:
    async with core(tmp_path, *USERS) as here:
        with pytest.raises(ChatError) as refused:
            await here.blocks.block(ALICE, username)
        assert refused.value.code is code
        assert await here.blocks.blocked(ALICE) == []


@on_a_loop
async def test_one_blocks_a_limited_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCKS", 1)
    async with core(tmp_path, *USERS) as here:
        await here.blocks.block(ALICE, "bob")
        with pytest.raises(ChatError) as refused:
            await here.blocks.block(ALICE, "carol")
        assert refused.value.code is ErrorCode.TOO_LARGE
        assert await here.blocks.block(BOB, "carol"), "it is each one's own"


@on_a_loop
async def test_a_block_may_be_repeated_at_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCKS", 1)
    async with core(tmp_path, *USERS) as here:
        await here.blocks.block(ALICE, "bob")
        assert not await here.blocks.block(ALICE, "bob")


@on_a_loop
async def test_a_block_counts_for_what_is_sent_after_it(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(direct("alice", "bob"), direct("bob", "alice"))
        await here.blocks.block(ALICE, "bob")
        outcomes = await here.submit(direct("bob", "alice"), direct("alice", "bob"))
        assert [outcome.code for outcome in outcomes] == [ErrorCode.BLOCKED] * 2
        for caller, to in ((ALICE, "bob"), (BOB, "alice")):
            with pytest.raises(ChatError) as refused:
                await here.conversations.open_direct(caller, NewOneToOneChat(to=to))
            assert refused.value.code is ErrorCode.BLOCKED
        await here.blocks.unblock(ALICE, "bob")
        outcomes = await here.submit(direct("bob", "alice"), direct("alice", "bob"))
        assert [outcome.code for outcome in outcomes] == [None, None]


@on_a_loop
async def test_the_history_can_be_read_and_says_nothing_of_presence(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(direct("alice", "bob"), direct("bob", "alice"))
        await arrive(here, "alice")
        await here.blocks.block(ALICE, "bob")
        page = await here.histories.direct(BOB, GetOneToOneHistory(to="alice"))
        assert len(page.messages) == 2
        assert (page.is_online, page.last_seen) == (False, None)


@on_a_loop
async def test_both_are_told_that_the_other_is_unknown(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.users.befriend("alice", "bob", 0)
        await here.users.befriend("alice", "carol", 0)
        alice, bob, carol = [await arrive(here, name) for name in USERS]
        await here.blocks.block(BOB, "alice")
        assert told(alice)[-1] == ("bob", "UNKNOWN") and told(bob)[-1] == ("alice", "UNKNOWN")
        await here.presence.disconnected(bob.outbox, bob.outbox.connection_id)
        await here.presence.disconnected(alice.outbox, alice.outbox.connection_id)
        assert told(alice)[-1] == ("bob", "UNKNOWN") and told(bob)[-1] == ("alice", "UNKNOWN")
        assert told(carol)[-1] == ("alice", "OFFLINE")
        again = await arrive(here, "alice")
        assert [name for name, _ in told(again)] == ["carol"]


@on_a_loop
async def test_who_is_blocked_is_unknown_to_who_asks(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.users.befriend("alice", "bob", 0)
        await here.submit(create("7", "alice", ["bob", "carol"]))
        alice, bob, _ = [await arrive(here, name) for name in USERS]
        await here.blocks.block(ALICE, "bob")
        for caller, reader, other in ((ALICE, alice, "bob"), (BOB, bob, "alice")):
            seen = await here.presence.look_for(caller, [other, "carol"])
            assert seen[other].status is PresenceStatus.UNKNOWN
            assert seen["carol"].status is PresenceStatus.ONLINE
            request = SubscribePresence(users=[other, "carol"])
            await here.presence.subscribe(caller, reader.outbox, request)
            assert told(reader)[-2:] == [(other, "UNKNOWN"), ("carol", "ONLINE")]


@on_a_loop
async def test_friends_are_introduced_again_when_the_block_is_taken_back(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.users.befriend("alice", "bob", 0)
        alice, bob, _ = [await arrive(here, name) for name in USERS]
        await here.blocks.block(ALICE, "bob")
        await here.blocks.block(BOB, "alice")
        await here.blocks.unblock(ALICE, "bob")
        assert told(alice)[-1] == ("bob", "UNKNOWN"), "one block of two is enough"
        await here.blocks.unblock(BOB, "alice")
        await until(lambda: told(alice)[-1] == ("bob", "ONLINE"))
        assert told(bob)[-1] == ("alice", "ONLINE")
        await here.presence.disconnected(bob.outbox, bob.outbox.connection_id)
        assert told(alice)[-1] == ("bob", "OFFLINE")
