"""Port ConversationStore."""

from chatd.stores.conversation_store import (
    ConversationKind,
    Cursor,
    Member,
    Membership,
    Move,
    Peer,
    Summary,
)
from protocol.errors import ErrorCode
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
from tests.support.changes import edit, place, update
from tests.support.running import on_a_loop

CHAT = "alice-bob"


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
        await conversations.advance([Move(CHAT, "bob", Cursor.DELIVERED, 1)])
        assert await conversations.peer(CHAT, "alice") == Peer("bob", 1, 0)
        assert await conversations.peer(CHAT, "bob") == Peer("alice", 0, 0)
        assert await conversations.peer(CHAT, "carol") is None
        assert await conversations.peer("7", "alice") is None
        assert await conversations.peer("alice-carol", "alice") is None


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
        found = await conversations.summaries("alice", limit=10)
        assert [summary.membership.conversation_id for summary in found] == [
            "alice-carol",
            "7",
            CHAT,
        ]
        assert [summary.peer for summary in found] == ["carol", None, "bob"]
        assert [summary.name for summary in found] == [None, "group 7", None]
        assert [summary.member_count for summary in found] == [2, 2, 2]
        assert [summary.head for summary in found] == [1, 1, 1]
        assert await conversations.summaries("alice", limit=2) == found[:2]
        assert await conversations.summaries("nobody", limit=2) == []


@on_a_loop
async def test_pages_of_summaries_put_together_are_the_list(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, "alice", "bob")
        times = {f"{n}": NOW_MS + n // 3 for n in range(10)}
        await append(ledger, *(create(name, "alice", at_ms=at) for name, at in times.items()))
        await append(ledger, create("99", "bob", at_ms=NOW_MS + 2))
        everything = await conversations.summaries("alice", limit=100)
        found = [(one.at_ms, one.membership.conversation_id) for one in everything]
        assert found == sorted(((at, name) for name, at in times.items()), key=_newest_first)
        for limit in (1, 2, 3, 7, 10):
            together: list[Summary] = []
            after: tuple[int, str] | None = None
            while page := await conversations.summaries("alice", limit=limit, after=after):
                assert len(page) <= limit
                together += page
                after = page[-1].at_ms, page[-1].membership.conversation_id
            assert together == everything


def _newest_first(shown: tuple[int, str]) -> tuple[int, str]:
    return -shown[0], shown[1]


@on_a_loop
async def test_the_last_event_moves_a_conversation_up(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, "alice", "bob")
        await append(ledger, create("7", "alice", ["bob"], at_ms=NOW_MS))
        said = post("8", "alice", at_ms=NOW_MS + 2)
        await append(ledger, create("8", "alice", at_ms=NOW_MS + 1), said)
        await append(ledger, edit(place(said, 2), "alice", at_ms=NOW_MS + 3))
        await append(ledger, post("7", "bob", at_ms=NOW_MS + 4))
        found = await conversations.summaries("alice", limit=9)
        shown = [(one.membership.conversation_id, one.at_ms - NOW_MS) for one in found]
        assert shown == [("7", 4), ("8", 3)]


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


@on_a_loop
async def test_a_summary_is_the_one_of_the_list(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, "alice", "bob", "carol")
        await append(
            ledger,
            create("7", "alice", ["bob"]),
            post("7", "alice"),
            update("7", "alice", name="new", topic="of the day", avatar_url="http://a.example/p"),
            direct("alice", "bob"),
        )
        found = await conversations.summaries("bob", limit=10)
        assert len(found) == 2
        for summary in found:
            conversation_id = summary.membership.conversation_id
            assert await conversations.summary(conversation_id, "bob") == summary
        group = await conversations.summary("7", "bob")
        assert group is not None
        assert (group.name, group.topic, group.avatar_url, group.is_open) == (
            "new",
            "of the day",
            "http://a.example/p",
            False,
        )
        assert await conversations.summary("7", "carol") is None
        assert await conversations.summary("8", "bob") is None


@on_a_loop
async def test_members_are_listed_by_name_in_pages(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, "alice", "bob", "carol", "dave")
        await append(ledger, create("7", "carol", ["alice", "dave", "bob"]), post("7", "bob"))
        await conversations.advance([Move("7", "bob", Cursor.READ, 2)])
        everyone = [
            Member("alice", Role.MEMBER, 0, 0),
            Member("bob", Role.MEMBER, 2, 2),
            Member("carol", Role.ADMIN, 1, 1),
            Member("dave", Role.MEMBER, 0, 0),
        ]
        assert await conversations.members("7", after="", limit=10) == everyone
        assert await conversations.members("7", after="", limit=2) == everyone[:2]
        assert await conversations.members("7", after="bob", limit=2) == everyone[2:]
        assert await conversations.members("7", after="bz", limit=1) == everyone[2:3]
        assert await conversations.members("7", after="dave", limit=2) == []
        assert await conversations.members("8", after="", limit=2) == []


@on_a_loop
async def test_members_are_found_among_others(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, "alice", "bob", "carol", "dave")
        await append(ledger, create("7", "alice", ["bob", "carol"]), leave("7", "bob"))
        everyone = ["alice", "bob", "carol", "dave", "nobody"]
        assert await conversations.members_among("7", everyone) == {"alice", "carol"}
        assert await conversations.members_among("7", {"carol"}) == {"carol"}
        assert await conversations.members_among("7", []) == set()
        assert await conversations.members_among("8", everyone) == set()


@on_a_loop
async def test_only_members_may_signal(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, "alice", "bob", "carol")
        await append(ledger, create("7", "alice", ["bob"]), direct("alice", "bob"))
        assert await conversations.may_signal("7", "bob") is ConversationKind.GROUP
        assert await conversations.may_signal(CHAT, "bob") is ConversationKind.DIRECT
        for conversation_id in ("7", CHAT, "8", "nowhere"):
            found = await conversations.may_signal(conversation_id, "carol")
            assert found is ErrorCode.NOT_A_MEMBER
        await append(ledger, leave("7", "bob"))
        assert await conversations.may_signal("7", "bob") is ErrorCode.NOT_A_MEMBER


@on_a_loop
async def test_ids_of_groups_are_listed_in_pages(stores: StoresBackend) -> None:
    async with stores.open() as (users, store, ledger):
        await add_users(users, "alice", "bob", "1carol")
        assert await store.group_ids("", 10) == []
        await append(ledger, *(create(n, "alice") for n in ("7", "10", "9", "70")))
        await append(ledger, direct("alice", "bob"), direct("1carol", "bob"))
        assert await store.group_ids("", 10) == ["10", "7", "70", "9"]
        assert await store.group_ids("", 2) == ["10", "7"]
        assert await store.group_ids("7", 2) == ["70", "9"]
        assert await store.group_ids("9", 2) == []
        # Of a group that everybody has left the id stays.
        await append(ledger, leave("7", "alice"))
        assert await store.group_ids("10", 1) == ["7"]
