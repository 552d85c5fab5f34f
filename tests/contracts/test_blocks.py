"""Ports UserStore, Ledger and ConversationStore: what a block changes."""

import pytest

from chatd.stores.conversation_store import ConversationKind, Cursor, Move
from protocol.errors import ErrorCode
from tests.contracts.conftest import StoresBackend
from tests.support.builders import NOW_MS, add_users, append, create, direct, join, post
from tests.support.changes import add, codes, delete, edit, place, react
from tests.support.running import on_a_loop

CHAT = "alice-bob"
USERS = ("alice", "bob", "carol")
BOTH_WAYS = pytest.mark.parametrize(
    ("blocker", "blocked"), [("alice", "bob"), ("bob", "alice")], ids=["sender", "recipient"]
)


@on_a_loop
async def test_a_block_is_made_once_and_taken_back_once(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        await add_users(users, *USERS)
        assert await users.block("alice", "carol", NOW_MS)
        assert await users.block("alice", "bob", NOW_MS)
        assert not await users.block("alice", "bob", NOW_MS + 1)
        assert await users.block("bob", "alice", NOW_MS)
        assert await users.blocks("alice") == ["bob", "carol"]
        assert await users.blocks("bob") == ["alice"]
        assert await users.unblock("alice", "bob")
        assert not await users.unblock("alice", "bob")
        assert await users.blocks("alice") == ["carol"]
        assert await users.blocks("bob") == ["alice"], "it is each one's own"


@on_a_loop
async def test_who_is_blocked_is_known_both_ways(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, _):
        await add_users(users, *USERS)
        await users.block("alice", "bob", NOW_MS)
        everyone = [*USERS, "nobody"]
        assert await users.blocked_among("alice", everyone) == {"bob"}
        assert await users.blocked_among("bob", everyone) == {"alice"}
        assert await users.blocked_among("carol", everyone) == set()
        assert await users.blocked_among("alice", []) == set()


@on_a_loop
async def test_blocks_are_there_after_reopening(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        await append(ledger, direct("alice", "bob"), direct("bob", "alice"))
        await users.block("alice", "bob", NOW_MS)
    async with stores.open() as (users, _, ledger):
        assert await users.blocks("alice") == ["bob"]
        assert codes(await ledger.append([direct("bob", "alice")])) == [ErrorCode.BLOCKED]


@BOTH_WAYS
@on_a_loop
async def test_nothing_is_written_between_the_two(
    stores: StoresBackend, blocker: str, blocked: str
) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        said = direct("alice", "bob")
        at = place(said, 1)
        await append(ledger, said, direct("bob", "alice"), react(at, "alice"))
        await users.block(blocker, blocked, NOW_MS)
        outcomes = await ledger.append(
            [
                direct("alice", "bob"),
                edit(at, "alice"),
                react(at, "alice", "🎉"),
                react(at, "alice", remove=True),
                direct("alice", "carol"),
            ]
        )
        assert codes(outcomes) == [*[ErrorCode.BLOCKED] * 4, None]
        assert outcomes[0].detail == "bob"
        assert await conversations.may_signal(CHAT, "alice") is ErrorCode.BLOCKED
        assert await conversations.may_signal(CHAT, "bob") is ErrorCode.BLOCKED
        assert await ledger.heads([CHAT]) == {CHAT: 3}


@BOTH_WAYS
@on_a_loop
async def test_no_conversation_begins_between_the_two(
    stores: StoresBackend, blocker: str, blocked: str
) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        await users.block(blocker, blocked, NOW_MS)
        assert codes(await ledger.append([direct("alice", "bob")])) == [ErrorCode.BLOCKED]
        assert await conversations.memberships("alice") == []
        await users.unblock(blocker, blocked)
        await append(ledger, direct("alice", "bob"))


@BOTH_WAYS
@on_a_loop
async def test_what_stays_allowed(stores: StoresBackend, blocker: str, blocked: str) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        said = direct("alice", "bob")
        await append(ledger, said, direct("bob", "alice"), create("7", "alice", ["bob"]))
        await users.block(blocker, blocked, NOW_MS)
        in_group = post("7", "alice")
        outcomes = await ledger.append(
            [delete(place(said, 1), "alice"), in_group, react(place(in_group, 2), "bob")]
        )
        assert codes(outcomes) == [None, None, None]
        moved = await conversations.advance(
            [Move(CHAT, "bob", cursor, 2) for cursor in Cursor] + [Move("7", "bob", Cursor.READ, 2)]
        )
        assert [one.code for one in moved] == [None] * 3
        assert [one.peer for one in moved] == [None] * 3, "the other is not told"
        assert [one.came_from for one in moved] == [0, 0, 0]
        assert await conversations.may_signal("7", "bob") is ConversationKind.GROUP


@BOTH_WAYS
@on_a_loop
async def test_a_block_that_is_taken_back_counts_no_more(
    stores: StoresBackend, blocker: str, blocked: str
) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        said = direct("alice", "bob")
        await append(ledger, said, direct("bob", "alice"))
        for _ in range(2):
            await users.block(blocker, blocked, NOW_MS)
            outcomes = await ledger.append([direct("alice", "bob"), direct("bob", "alice")])
            assert codes(outcomes) == [ErrorCode.BLOCKED] * 2
            await users.unblock(blocker, blocked)
            await append(ledger, direct("alice", "bob"), direct("bob", "alice"))
        await append(ledger, edit(place(said, 1), "alice"))
        assert await conversations.may_signal(CHAT, "alice") is ConversationKind.DIRECT
        (moved,) = await conversations.advance([Move(CHAT, "bob", Cursor.READ, 3)])
        assert moved.peer == "alice"


@on_a_loop
async def test_one_block_of_two_is_enough(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        await append(ledger, direct("alice", "bob"), direct("bob", "alice"))
        await users.block("alice", "bob", NOW_MS)
        await users.block("bob", "alice", NOW_MS)
        await users.unblock("alice", "bob")
        assert codes(await ledger.append([direct("bob", "alice")])) == [ErrorCode.BLOCKED]


@on_a_loop
async def test_blocked_users_see_each_other_neither_as_friends_nor_in_groups(
    stores: StoresBackend,
) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        await users.befriend("alice", "bob", NOW_MS)
        await users.befriend("alice", "carol", NOW_MS)
        await append(ledger, create("7", "alice", ["bob", "carol"]))
        await users.block("bob", "alice", NOW_MS)
        assert await users.friends("alice") == ["carol"] and await users.friends("bob") == []
        assert await users.friends_among("alice", ["bob", "carol"]) == {"carol"}
        assert await users.friends_among("bob", ["alice"]) == set()
        assert await conversations.sharing_a_group("alice", ["bob", "carol"]) == {"carol"}
        assert await conversations.sharing_a_group("bob", ["alice", "carol"]) == {"carol"}
        await users.unblock("bob", "alice")
        assert await users.friends("alice") == ["bob", "carol"]
        assert await conversations.sharing_a_group("bob", ["alice"]) == {"alice"}


@on_a_loop
async def test_nobody_is_put_into_a_group_by_whom_it_has_blocked(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        await users.block("bob", "alice", NOW_MS)
        outcomes = await ledger.append(
            [
                create("7", "alice", ["carol", "bob"]),
                create("8", "alice", ["carol"], is_open=True),
                add("8", "alice", "bob"),
                create("9", "bob", ["alice"]),
                join("8", "bob"),
            ]
        )
        blocked = ErrorCode.BLOCKED
        assert codes(outcomes) == [blocked, None, blocked, None, None]
        assert (outcomes[0].detail, outcomes[2].detail) == ("bob", "bob")
        assert await conversations.membership("7", "carol") is None
