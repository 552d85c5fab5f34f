"""Port ConversationStore."""

from chatd.events import Event, MessageBody, decode_body
from chatd.stores.conversation_store import ConversationKind, Membership, Peer
from protocol.model import HistoryVisibility, Role
from tests.contracts.conftest import StoresBackend
from tests.support.builders import (
    NOW_MS,
    add_users,
    append,
    create,
    direct,
    join,
    leave,
    post,
)
from tests.support.running import on_a_loop

CHAT = "alice-bob"


def content(event: Event) -> str:
    """The text of a message that a store read."""
    body = decode_body(event.kind, event.body)
    assert isinstance(body, MessageBody)
    return body.content


@on_a_loop
async def test_a_direct_conversation_is_opened_once(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, "alice", "bob")
        assert await conversations.open_direct("bob", "alice", NOW_MS)
        assert await conversations.open_direct("alice", "bob", NOW_MS + 1)
        membership = Membership(
            CHAT, ConversationKind.DIRECT, Role.MEMBER, HistoryVisibility.JOINED, 0, 0, 0
        )
        assert await conversations.memberships("alice") == [membership]
        assert await conversations.memberships("bob") == [membership]
        assert await conversations.membership(CHAT, "alice") == membership
        assert membership.floor == 0
        (outcome,) = await append(ledger, direct("alice", "bob"))
        assert outcome.seq == 1


@on_a_loop
async def test_nothing_is_opened_with_somebody_who_is_not_there(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, _):
        await add_users(users, "alice")
        assert not await conversations.open_direct("alice", "nobody", NOW_MS)
        assert await conversations.memberships("alice") == []


@on_a_loop
async def test_a_conversation_that_a_message_made_counts_as_open(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, "alice", "bob")
        await append(ledger, direct("alice", "bob"), direct("bob", "alice"))
        assert await conversations.open_direct("alice", "bob", NOW_MS)
        assert await ledger.heads([CHAT]) == {CHAT: 2}


@on_a_loop
async def test_strangers_and_unknown_conversations_have_no_membership(
    stores: StoresBackend,
) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, "alice", "bob", "carol")
        await append(ledger, direct("alice", "bob"), create("7", "alice", ["bob"]))
        assert await conversations.membership(CHAT, "carol") is None
        assert await conversations.membership("7", "carol") is None
        assert await conversations.membership("8", "alice") is None
        assert await conversations.memberships("carol") == []


@on_a_loop
async def test_the_peer_is_the_other_one_of_a_direct_conversation(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, "alice", "bob", "carol")
        await append(ledger, direct("alice", "bob"), create("7", "alice", ["bob"]))
        await conversations.advance_delivered({(CHAT, "bob"): 1})
        assert await conversations.peer(CHAT, "alice") == Peer("bob", 1, 0)
        assert await conversations.peer(CHAT, "bob") == Peer("alice", 0, 0)
        assert await conversations.peer(CHAT, "carol") is None
        assert await conversations.peer("7", "alice") is None
        assert await conversations.peer("alice-carol", "alice") is None


@on_a_loop
async def test_delivered_cursors_only_move_forward(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, "alice", "bob")
        await append(ledger, *(direct("alice", "bob") for _ in range(5)))
        await conversations.advance_delivered({(CHAT, "bob"): 4, (CHAT, "alice"): 2})
        await conversations.advance_delivered({(CHAT, "bob"): 3, (CHAT, "alice"): 5})
        await conversations.advance_delivered({(CHAT, "carol"): 5, ("9", "bob"): 5})
        await conversations.advance_delivered({})
        bob = await conversations.membership(CHAT, "bob")
        alice = await conversations.membership(CHAT, "alice")
        assert bob is not None and (bob.delivered, bob.read) == (4, 0)
        assert alice is not None and alice.delivered == 5


@on_a_loop
async def test_cursors_are_there_after_reopening(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, "alice", "bob")
        await append(ledger, *(direct("alice", "bob") for _ in range(3)))
        await conversations.advance_delivered({(CHAT, "bob"): 3})
    async with stores.open() as (_, conversations, _):
        bob = await conversations.membership(CHAT, "bob")
        assert bob is not None and bob.delivered == 3


@on_a_loop
async def test_a_new_member_reads_from_its_joining_on(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, "alice", "bob", "carol")
        await append(
            ledger,
            create("7", "alice", ["bob"], is_open=True),
            post("7", "alice"),
            join("7", "carol"),
        )
        creator = await conversations.membership("7", "alice")
        named = await conversations.membership("7", "bob")
        joined = await conversations.membership("7", "carol")
        assert creator is not None and named is not None and joined is not None
        assert (creator.floor, named.floor, joined.floor) == (0, 0, 2)
        assert (joined.joined_seq, joined.delivered, joined.read) == (3, 3, 3)


@on_a_loop
async def test_where_history_is_for_all_a_new_member_reads_everything(
    stores: StoresBackend,
) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, "alice", "bob")
        made = create("7", "alice", is_open=True, history=HistoryVisibility.ALL)
        await append(ledger, made, post("7", "alice"), join("7", "bob"))
        joined = await conversations.membership("7", "bob")
        assert joined is not None
        assert joined.history is HistoryVisibility.ALL
        assert joined.floor == 0


@on_a_loop
async def test_summaries_are_newest_first_and_limited(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, "alice", "bob", "carol", "dave")
        await append(
            ledger,
            direct("alice", "bob", at_ms=NOW_MS + 1),
            direct("carol", "alice", at_ms=NOW_MS + 3),
            create("7", "alice", ["dave"], at_ms=NOW_MS + 2),
        )
        found = await conversations.summaries("alice", limit=10, unread_cap=10)
        assert [summary.membership.conversation_id for summary in found] == [
            "alice-carol",
            "7",
            CHAT,
        ]
        assert [summary.peer for summary in found] == ["carol", None, "bob"]
        assert [summary.name for summary in found] == [None, "group 7", None]
        assert [summary.member_count for summary in found] == [2, 2, 2]
        assert [summary.head for summary in found] == [1, 1, 1]
        assert await conversations.summaries("alice", limit=2, unread_cap=10) == found[:2]
        assert await conversations.summaries("nobody", limit=2, unread_cap=10) == []


@on_a_loop
async def test_unread_counts_messages_of_others_up_to_one_above_the_cap(
    stores: StoresBackend,
) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, "alice", "bob", "carol")
        await append(
            ledger,
            create("7", "alice", ["bob"], is_open=True),
            post("7", "alice", "one"),
            post("7", "bob", "mine"),
            post("7", "alice", "two"),
            join("7", "carol"),
        )
        (bob,) = await conversations.summaries("bob", limit=1, unread_cap=10)
        (capped,) = await conversations.summaries("bob", limit=1, unread_cap=1)
        (carol,) = await conversations.summaries("carol", limit=1, unread_cap=10)
        assert (bob.unread, capped.unread, carol.unread) == (2, 2, 0)
        await append(ledger, *(post("7", "alice") for _ in range(5)))
        (bob,) = await conversations.summaries("bob", limit=1, unread_cap=3)
        assert bob.unread == 4


@on_a_loop
async def test_the_last_message_is_one_that_the_user_may_read(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, "alice", "bob", "carol")
        await append(
            ledger,
            create("7", "alice", ["bob"], is_open=True),
            post("7", "alice", "newest"),
            join("7", "carol"),
        )
        (bob,) = await conversations.summaries("bob", limit=1, unread_cap=10)
        (carol,) = await conversations.summaries("carol", limit=1, unread_cap=10)
        assert bob.last_message is not None
        assert (bob.last_message.seq, content(bob.last_message)) == (2, "newest")
        assert carol.last_message is None


@on_a_loop
async def test_a_conversation_without_messages_has_no_last_message(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, _):
        await add_users(users, "alice", "bob")
        await conversations.open_direct("alice", "bob", NOW_MS)
        (summary,) = await conversations.summaries("alice", limit=1, unread_cap=10)
        assert (summary.head, summary.unread, summary.last_message) == (0, 0, None)


@on_a_loop
async def test_who_shares_a_group(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, "alice", "bob", "carol", "dave")
        await append(
            ledger,
            create("7", "alice", ["bob", "carol"]),
            create("8", "dave", ["alice"]),
            direct("bob", "dave"),
            leave("7", "carol"),
        )
        others = ["alice", "bob", "carol", "dave", "nobody"]
        assert await conversations.sharing_a_group("alice", others) >= {"bob", "dave"}
        assert await conversations.sharing_a_group("alice", ["carol", "nobody"]) == set()
        assert await conversations.sharing_a_group("bob", ["dave", "carol"]) == set()
        assert await conversations.sharing_a_group("alice", []) == set()
