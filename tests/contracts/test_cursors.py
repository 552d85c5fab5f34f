"""Port ConversationStore: cursors, who is behind, and mailboxes."""

import pytest

from chatd.stores.conversation_store import (
    ConversationKind,
    ConversationStore,
    Cursor,
    Move,
    Moved,
)
from chatd.stores.ledger import Ledger
from chatd.stores.user_store import UserStore
from protocol.errors import ErrorCode
from tests.contracts.conftest import StoresBackend
from tests.support.builders import NOW_MS, add_users, append, create, direct, join, leave, post
from tests.support.changes import add, remove
from tests.support.running import on_a_loop

CHAT = "alice-bob"


def delivered(seq: int, username: str = "bob", conversation_id: str = CHAT) -> Move:
    return Move(conversation_id, username, Cursor.DELIVERED, seq)


def read(seq: int, username: str = "bob", conversation_id: str = CHAT) -> Move:
    return Move(conversation_id, username, Cursor.READ, seq)


async def chat_of_five(users: UserStore, ledger: Ledger) -> None:
    """Alice and bob, and five messages of hers; carol is somebody else."""
    await add_users(users, "alice", "bob", "carol")
    await append(ledger, *(direct("alice", "bob") for _ in range(5)))


async def cursors(
    conversations: ConversationStore, username: str = "bob", conversation_id: str = CHAT
) -> tuple[int, int]:
    """The delivered and the read cursor."""
    membership = await conversations.membership(conversation_id, username)
    assert membership is not None
    return membership.delivered, membership.read


@on_a_loop
async def test_a_move_tells_where_the_cursor_was_and_who_else_is_there(
    stores: StoresBackend,
) -> None:
    async with stores.open() as (users, conversations, ledger):
        await chat_of_five(users, ledger)
        await append(ledger, create("7", "alice", ["bob", "carol"]))
        assert await conversations.advance([delivered(3), read(2), delivered(1, "bob", "7")]) == [
            Moved(None, 5, ConversationKind.DIRECT, 0, "alice", 2),
            Moved(None, 5, ConversationKind.DIRECT, 0, "alice", 2),
            Moved(None, 1, ConversationKind.GROUP, 0, None, 3),
        ]
        (moved,) = await conversations.advance([delivered(4)])
        assert moved.came_from == 3
        assert await cursors(conversations) == (4, 2)


@on_a_loop
async def test_cursors_only_move_forward(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await chat_of_five(users, ledger)
        await conversations.advance([delivered(4), read(3)])
        for seq in (0, 1, 3):
            stays = Moved(None, 5, ConversationKind.DIRECT)
            assert await conversations.advance([delivered(seq), read(seq)]) == [stays, stays]
        assert await cursors(conversations) == (4, 3)
        moved = await conversations.advance([delivered(5), delivered(4), delivered(5)])
        assert [one.came_from for one in moved] == [4, None, None]
        assert await cursors(conversations) == (5, 3)
        assert await conversations.advance([]) == []


@on_a_loop
async def test_what_is_read_is_delivered_too(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await chat_of_five(users, ledger)
        await conversations.advance([read(3)])
        assert await cursors(conversations) == (3, 3)
        await conversations.advance([delivered(5)])
        (moved,) = await conversations.advance([read(4)])
        assert moved.came_from == 3
        assert await cursors(conversations) == (5, 4)


@pytest.mark.parametrize("cursor", Cursor)
@on_a_loop
async def test_above_the_head_there_is_nothing_to_have(
    stores: StoresBackend, cursor: Cursor
) -> None:
    async with stores.open() as (users, conversations, ledger):
        await chat_of_five(users, ledger)
        above, at = await conversations.advance(
            [Move(CHAT, "bob", cursor, 6), Move(CHAT, "bob", cursor, 5)]
        )
        assert (above.code, above.head) == (ErrorCode.INVALID_FIELD, 5)
        assert at.code is None
        assert (await cursors(conversations))[0] == 5


@on_a_loop
async def test_cursors_are_of_members(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await chat_of_five(users, ledger)
        await append(ledger, create("7", "alice", ["bob"]), leave("7", "bob"))
        moves = [
            delivered(1, "carol"),
            read(1, "carol"),
            delivered(1, "bob", "nowhere"),
            delivered(1, "bob", "7"),
            delivered(99, "nobody", "7"),
        ]
        moved = await conversations.advance(moves)
        assert [one.code for one in moved] == [ErrorCode.NOT_A_MEMBER] * 5


@on_a_loop
async def test_a_move_may_say_what_the_conversation_must_be(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await chat_of_five(users, ledger)
        await append(ledger, create("7", "alice", ["bob"]))
        group, direct_ = ConversationKind.GROUP, ConversationKind.DIRECT
        moved = await conversations.advance(
            [
                delivered(1)._replace(kind=group),
                delivered(1, "bob", "7")._replace(kind=direct_),
                delivered(1)._replace(kind=direct_),
                delivered(1, "bob", "7")._replace(kind=group),
            ]
        )
        wrong = ErrorCode.NOT_A_MEMBER
        assert [one.code for one in moved] == [wrong, wrong, None, None]


@on_a_loop
async def test_cursors_are_there_after_reopening(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await chat_of_five(users, ledger)
        await conversations.advance([delivered(3), read(2)])
    async with stores.open() as (_, conversations, _):
        assert await cursors(conversations) == (3, 2)


@on_a_loop
async def test_who_was_put_into_a_group_has_not_been_told_yet(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, "alice", "bob", "carol")
        await append(
            ledger, create("7", "alice", is_open=True), join("7", "bob"), add("7", "alice", "carol")
        )
        assert await cursors(conversations, "bob", "7") == (2, 2)
        assert await cursors(conversations, "carol", "7") == (2, 2)
        carol = await conversations.membership("7", "carol")
        assert carol is not None and carol.joined_seq == 3


# Who is behind.


@on_a_loop
async def test_who_is_behind_is_listed_by_name_in_pages(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, "alice", "bob", "carol", "dave")
        await append(ledger, create("7", "alice", ["bob", "carol", "dave"]), post("7", "alice"))
        await conversations.advance([delivered(2, "carol", "7")])
        behind = [("alice", 1), ("bob", 0), ("dave", 0)]
        assert await conversations.behind("7", 2, after="", limit=10) == behind
        assert await conversations.behind("7", 2, after="", limit=2) == behind[:2]
        assert await conversations.behind("7", 2, after="bob", limit=2) == behind[2:]
        assert await conversations.behind("7", 1, after="", limit=10) == behind[1:]
        assert await conversations.behind("7", 0, after="", limit=10) == []
        assert await conversations.behind("8", 2, after="", limit=10) == []


# Mailboxes.


@on_a_loop
async def test_a_mailbox_says_what_came_while_the_user_was_away(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await chat_of_five(users, ledger)
        await append(ledger, direct("carol", "bob"))
        assert await conversations.mailbox("bob") == {}
        await conversations.add_to_mailboxes(CHAT, ["bob"], 2, 3)
        await conversations.add_to_mailboxes("bob-carol", ["bob"], 1, 1)
        assert await conversations.mailbox("bob") == {CHAT: (2, 3), "bob-carol": (1, 1)}
        assert await conversations.mailbox("alice") == {}


@on_a_loop
async def test_the_range_of_a_mailbox_grows_and_may_be_repeated(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await chat_of_five(users, ledger)
        for first, last in ((3, 3), (4, 5), (2, 2), (3, 3), (4, 5)):
            await conversations.add_to_mailboxes(CHAT, {"bob"}, first, last)
        assert await conversations.mailbox("bob") == {CHAT: (2, 5)}


@on_a_loop
async def test_what_was_delivered_is_in_the_mailbox_no_more(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await chat_of_five(users, ledger)
        await conversations.add_to_mailboxes(CHAT, ["bob"], 1, 4)
        await conversations.advance([delivered(2)])
        assert await conversations.mailbox("bob") == {CHAT: (3, 4)}
        await conversations.advance([delivered(4)])
        assert await conversations.mailbox("bob") == {}
        await conversations.add_to_mailboxes(CHAT, ["bob"], 5, 5)
        assert await conversations.mailbox("bob") == {CHAT: (5, 5)}


@on_a_loop
async def test_who_is_in_no_conversation_has_nothing_of_it(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, "alice", "bob", "carol")
        await append(ledger, create("7", "alice", ["bob"]), post("7", "alice"))
        await conversations.add_to_mailboxes("7", ["bob", "carol"], 1, 2)
        await append(ledger, remove("7", "alice", "bob"))
        await conversations.add_to_mailboxes("7", ["bob"], 3, 3)
        assert await conversations.mailbox("bob") == await conversations.mailbox("carol") == {}
        await append(ledger, post("7", "alice"), add("7", "alice", "bob"), post("7", "alice"))
        assert await conversations.mailbox("bob") == {}, "nothing from before it came back"
        await conversations.add_to_mailboxes("7", ["bob"], 4, 6)
        assert await conversations.mailbox("bob") == {"7": (5, 6)}


@on_a_loop
async def test_mailboxes_are_there_after_reopening(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await chat_of_five(users, ledger)
        assert await conversations.open_direct("bob", "carol", NOW_MS)
        await conversations.add_to_mailboxes(CHAT, ["bob"], 1, 5)
    async with stores.open() as (_, conversations, _):
        assert await conversations.mailbox("bob") == {CHAT: (1, 5)}
