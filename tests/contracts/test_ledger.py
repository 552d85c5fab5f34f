"""Port Ledger: appending. What is read back is in `test_ledger_reading.py`."""

import asyncio

import pytest

from chatd.stores.ledger import Entry, Outcome
from protocol.errors import ErrorCode
from protocol.limits import GROUP_MEMBERS
from protocol.model import Role
from tests.contracts.conftest import StoresBackend, on_every_ledger
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
from tests.support.running import on_a_loop, on_a_quick_loop

pytestmark = on_every_ledger

CHAT = "alice-bob"
USERS = ("alice", "bob", "carol", "dave")


def seqs(outcomes: list[Outcome]) -> list[int]:
    return [outcome.seq for outcome in outcomes]


def codes(outcomes: list[Outcome]) -> list[ErrorCode | None]:
    return [outcome.code for outcome in outcomes]


# Numbers.


@on_a_loop
async def test_numbers_are_dense_from_one_in_the_order_of_the_call(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        first = await append(ledger, direct("alice", "bob", "a"), direct("bob", "alice", "b"))
        second = await append(ledger, *(direct("alice", "bob", f"c{n}") for n in range(200)))
        assert seqs(first) == [1, 2]
        assert seqs(second) == list(range(3, 203))
        events = await ledger.read(CHAT, limit=300)
        assert [event.seq for event in events] == list(range(1, 203))


@on_a_loop
async def test_many_conversations_share_a_call(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        outcomes = await append(
            ledger,
            direct("alice", "bob"),
            create("7", "alice", ["carol"]),
            direct("carol", "dave"),
            post("7", "carol"),
            direct("bob", "alice"),
            post("7", "alice"),
        )
        assert seqs(outcomes) == [1, 1, 1, 2, 2, 3]
        assert await ledger.heads([CHAT, "7", "carol-dave"]) == {CHAT: 2, "7": 3, "carol-dave": 1}


@on_a_loop
async def test_calls_under_way_at_once_leave_no_hole(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        calls = [
            ledger.append([direct("alice", "bob", f"{n} {i}") for i in range(1 + n % 3)])
            for n in range(50)
        ]
        outcomes = [outcome for call in calls for outcome in await call]
        assert sorted(seqs(outcomes)) == list(range(1, len(outcomes) + 1))
        for call in calls:
            of_one_call = seqs(call.result())
            assert of_one_call == sorted(of_one_call)


@on_a_loop
async def test_an_outcome_repeats_the_entrys_nonce_and_time(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        entry = direct("alice", "bob", at_ms=NOW_MS + 17)
        (outcome,) = await append(ledger, entry)
        assert outcome == Outcome(seq=1, nonce=entry.nonce, at_ms=NOW_MS + 17)


@on_a_loop
async def test_a_refusal_takes_no_number_and_no_other_entry_with_it(
    stores: StoresBackend,
) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        await append(ledger, create("7", "alice", ["bob"]))
        outcomes = await ledger.append([post("7", "alice"), post("7", "dave"), post("7", "bob")])
        assert codes(outcomes) == [None, ErrorCode.NOT_A_MEMBER, None]
        assert (outcomes[0].seq, outcomes[2].seq) == (2, 3)
        assert await ledger.heads(["7"]) == {"7": 3}


@on_a_loop
async def test_what_was_answered_is_there_after_reopening(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        await append(ledger, create("7", "alice", ["bob"], is_open=True), post("7", "bob", "one"))
        await append(ledger, join("7", "carol"), direct("alice", "bob", "two"))
        before = await ledger.read("7", limit=10) + await ledger.read(CHAT, limit=10)
    async with stores.open() as (_, conversations, ledger):
        assert await ledger.read("7", limit=10) + await ledger.read(CHAT, limit=10) == before
        assert len(before) == 4
        assert await conversations.membership("7", "carol") is not None
        outcomes = await append(ledger, post("7", "carol"), direct("bob", "alice"))
        assert seqs(outcomes) == [4, 2]
        assert [outcome.befriended for outcome in outcomes] == [False, True]


# Keys.


@on_a_loop
async def test_a_repeated_key_is_answered_with_the_first_outcome(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        first = direct("alice", "bob", "once", key="k", at_ms=NOW_MS)
        again = direct("alice", "bob", "once", key="k", at_ms=NOW_MS + 5_000)
        await append(ledger, first)
        (repeat,) = await append(ledger, again)
        assert repeat == Outcome(seq=1, nonce=first.nonce, at_ms=NOW_MS, duplicate=True)
        assert await ledger.heads([CHAT]) == {CHAT: 1}


@on_a_loop
async def test_a_key_repeated_within_a_call_is_stored_once(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        first, again, other = (direct("alice", "bob", "once", key=key) for key in "kkl")
        outcomes = await append(ledger, first, direct("bob", "alice", "between"), again, other)
        assert seqs(outcomes) == [1, 2, 1, 3]
        assert [outcome.duplicate for outcome in outcomes] == [False, False, True, False]
        assert outcomes[2].nonce == first.nonce
        assert [event.seq for event in await ledger.read(CHAT, limit=10)] == [1, 2, 3]


@on_a_loop
async def test_a_repeated_key_is_known_after_reopening(stores: StoresBackend) -> None:
    first = direct("alice", "bob", "once", key="k")
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        await append(ledger, first)
    async with stores.open() as (_, _, ledger):
        later = direct("alice", "bob", "once", key="k", at_ms=NOW_MS + 3_600_000)
        (repeat,) = await append(ledger, later)
        assert repeat == Outcome(seq=1, nonce=first.nonce, at_ms=NOW_MS, duplicate=True)


@on_a_loop
async def test_a_key_with_another_body_is_refused(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        await append(ledger, direct("alice", "bob", "one", key="k"))
        outcomes = await ledger.append(
            [direct("alice", "bob", "two", key="k"), direct("alice", "bob", "one", key="k")]
        )
        assert codes(outcomes) == [ErrorCode.CLIENT_MSG_ID_REUSED, None]
        assert outcomes[1].duplicate
        assert await ledger.heads([CHAT]) == {CHAT: 1}


@on_a_loop
async def test_a_key_is_the_senders_and_the_conversations_own(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        outcomes = await append(
            ledger,
            direct("alice", "bob", "same", key="k"),
            direct("bob", "alice", "same", key="k"),
            direct("alice", "carol", "same", key="k"),
        )
        assert [outcome.duplicate for outcome in outcomes] == [False, False, False]


@on_a_loop
async def test_entries_without_a_key_are_never_repeats(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        outcomes = await append(ledger, *(direct("alice", "bob", "same") for _ in range(3)))
        assert seqs(outcomes) == [1, 2, 3]


@on_a_loop
async def test_a_call_with_a_repeat_changes_memberships_once(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        await append(ledger, direct("alice", "bob", "once", key="k"))
        outcomes = await ledger.append(
            [
                create("7", "alice", ["bob"], is_open=True),
                direct("alice", "bob", "once", key="k"),
                join("7", "carol"),
                leave("7", "bob"),
                post("7", "carol"),
            ]
        )
        assert codes(outcomes) == [None] * 5
        assert seqs(outcomes) == [1, 1, 2, 3, 4]
        (summary, *_) = await conversations.summaries("carol", limit=1)
        assert summary.member_count == 2


@on_a_loop
async def test_an_answer_does_not_depend_on_the_other_entries_of_the_call(
    stores: StoresBackend,
) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        await append(
            ledger,
            create("7", "alice", ["bob"]),
            post("7", "bob", "once", key="k"),
            direct("alice", "bob", "once", key="k"),
            leave("7", "bob"),
        )
        (alone,) = await ledger.append([post("7", "bob", "once", key="k")])
        beside, _ = await ledger.append(
            [post("7", "bob", "once", key="k"), direct("alice", "bob", "once", key="k")]
        )
        assert alone == beside


# Direct conversations.


@on_a_loop
async def test_a_first_direct_message_makes_the_conversation(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        assert await conversations.memberships("bob") == []
        await append(ledger, direct("bob", "alice"))
        for username in ("alice", "bob"):
            (membership,) = await conversations.memberships(username)
            assert membership.conversation_id == CHAT
            assert (membership.role, membership.joined_seq) == (Role.MEMBER, 0)
            assert (membership.delivered, membership.read) == (0, 0)


@on_a_loop
async def test_a_message_to_nobody_is_refused(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        outcomes = await ledger.append([direct("alice", "nobody"), direct("alice", "bob")])
        assert codes(outcomes) == [ErrorCode.NO_SUCH_USER, None]
        assert outcomes[0].detail == "nobody"
        assert [m.conversation_id for m in await conversations.memberships("alice")] == [CHAT]
        assert await ledger.heads(["alice-nobody"]) == {}


@on_a_loop
async def test_two_who_have_both_written_are_friends_once(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        one_sided = await append(ledger, direct("alice", "bob"), direct("alice", "bob"))
        assert [outcome.befriended for outcome in one_sided] == [False, False]
        assert await users.friends("alice") == []
        both = await append(ledger, direct("bob", "alice"), direct("bob", "alice"))
        assert [outcome.befriended for outcome in both] == [True, False]
        (later,) = await append(ledger, direct("alice", "bob"))
        assert not later.befriended
        assert await users.friends("alice") == ["bob"]
        assert await users.friends("bob") == ["alice"]


@on_a_loop
async def test_writing_befriends_nobody_who_was_a_friend_before(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        await users.befriend("alice", "bob", NOW_MS)
        outcomes = await append(ledger, direct("alice", "bob"), direct("bob", "alice"))
        assert [outcome.befriended for outcome in outcomes] == [False, False]


@on_a_loop
async def test_a_repeated_message_counts_as_written_once(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        await append(ledger, direct("alice", "bob", key="k"))
        outcomes = await append(
            ledger,
            direct("bob", "alice", "hi", key="b"),
            direct("alice", "bob", key="k"),
            direct("bob", "alice", "hi", key="b"),
        )
        assert [outcome.befriended for outcome in outcomes] == [True, False, False]


@on_a_loop
async def test_a_group_entry_on_a_direct_conversation_is_refused(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        await append(ledger, direct("alice", "bob"))
        outcomes = await ledger.append(
            [post(CHAT, "alice"), leave(CHAT, "alice"), join(CHAT, "carol")]
        )
        assert codes(outcomes) == [ErrorCode.NOT_A_MEMBER] * 3
        assert await conversations.membership(CHAT, "alice") is not None
        assert await ledger.heads([CHAT]) == {CHAT: 1}


# Groups.


@on_a_loop
async def test_the_creator_is_admin_and_the_others_are_members(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        (outcome,) = await append(ledger, create("7", "alice", ["bob", "carol"]))
        assert outcome.seq == 1
        found = {name: await conversations.membership("7", name) for name in USERS}
        assert {
            name: (place.role, place.joined_seq, place.delivered, place.read)
            for name, place in found.items()
            if place is not None
        } == {
            "alice": (Role.ADMIN, 1, 1, 1),
            "bob": (Role.MEMBER, 1, 0, 0),
            "carol": (Role.MEMBER, 1, 0, 0),
        }


@on_a_loop
async def test_a_group_of_somebody_who_is_not_there_is_not_made(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        outcomes = await ledger.append(
            [create("7", "alice", ["bob", "nobody"]), post("7", "alice")]
        )
        assert codes(outcomes) == [ErrorCode.NO_SUCH_USER, ErrorCode.NOT_A_MEMBER]
        assert outcomes[0].detail == "nobody"
        assert await conversations.memberships("bob") == []
        assert await ledger.heads(["7"]) == {}


@on_a_loop
async def test_only_members_post(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        await append(ledger, create("7", "alice", ["bob"]))
        outcomes = await ledger.append(
            [
                post("7", "carol"),
                post("8", "alice"),
                direct("alice", "bob"),
                leave("7", "carol"),
                leave("8", "alice"),
            ]
        )
        assert codes(outcomes) == [
            ErrorCode.NOT_A_MEMBER,
            ErrorCode.NOT_A_MEMBER,
            None,
            ErrorCode.NOT_A_MEMBER,
            ErrorCode.NOT_A_MEMBER,
        ]


@on_a_loop
async def test_who_has_left_posts_no_more(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        await append(ledger, create("7", "alice", ["bob"]), post("7", "bob"))
        outcomes = await ledger.append([leave("7", "bob"), post("7", "bob"), leave("7", "bob")])
        assert codes(outcomes) == [None, ErrorCode.NOT_A_MEMBER, ErrorCode.NOT_A_MEMBER]
        (later,) = await ledger.append([post("7", "bob")])
        assert later.code is ErrorCode.NOT_A_MEMBER
        assert await conversations.membership("7", "bob") is None
        assert await ledger.heads(["7"]) == {"7": 3}


@on_a_loop
async def test_anyone_joins_an_open_group_once(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        await append(ledger, create("7", "alice", is_open=True), post("7", "alice"))
        outcomes = await ledger.append([join("7", "bob"), post("7", "bob"), join("7", "bob")])
        assert codes(outcomes) == [None, None, ErrorCode.ALREADY_A_MEMBER]
        membership = await conversations.membership("7", "bob")
        assert membership is not None
        assert membership.role is Role.MEMBER
        assert (membership.joined_seq, membership.delivered, membership.read) == (3, 3, 3)


@on_a_loop
async def test_nobody_joins_a_closed_or_unknown_group(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        await append(ledger, create("7", "alice", ["carol"]))
        outcomes = await ledger.append([join("7", "bob"), join("8", "bob"), join("7", "carol")])
        assert codes(outcomes) == [
            ErrorCode.NOT_A_MEMBER,
            ErrorCode.NOT_A_MEMBER,
            ErrorCode.ALREADY_A_MEMBER,
        ]
        assert await conversations.memberships("bob") == []


@on_a_loop
async def test_who_left_an_open_group_may_come_back(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        await append(ledger, create("7", "alice", ["bob"], is_open=True), leave("7", "bob"))
        await append(ledger, post("7", "alice"), join("7", "bob"), post("7", "bob"))
        membership = await conversations.membership("7", "bob")
        assert membership is not None
        assert (membership.joined_seq, membership.floor) == (4, 3)


@pytest.mark.slow
@on_a_quick_loop
async def test_a_group_has_room_for_its_limit_and_no_more(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        names = [f"user{n}" for n in range(GROUP_MEMBERS + 1)]
        await asyncio.gather(*(users.create(name, "", None, NOW_MS) for name in names[:5_000]))
        await asyncio.gather(*(users.create(name, "", None, NOW_MS) for name in names[5_000:]))
        await append(ledger, create("7", names[0], names[1 : GROUP_MEMBERS - 1], is_open=True))
        outcomes = await ledger.append([join("7", name) for name in names[-2:]])
        assert codes(outcomes) == [None, ErrorCode.GROUP_FULL]
        outcomes = await ledger.append([leave("7", names[1]), join("7", names[-1])])
        assert codes(outcomes) == [None, None]


@on_a_loop
async def test_the_only_admin_stays_while_others_are_there(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        await append(ledger, create("7", "alice", ["bob"]))
        (refused,) = await ledger.append([leave("7", "alice")])
        assert refused.code is ErrorCode.LAST_ADMIN
        assert await conversations.membership("7", "alice") is not None
        await append(ledger, leave("7", "bob"), leave("7", "alice"))
        assert await conversations.memberships("alice") == []
        assert await ledger.heads(["7"]) == {"7": 3}


@on_a_loop
async def test_an_entry_may_build_on_one_before_it_in_the_call(stores: StoresBackend) -> None:
    async with stores.open() as (users, _, ledger):
        await add_users(users, *USERS)
        entries: list[Entry] = [
            create("7", "alice", ["bob"], is_open=True),
            join("7", "carol"),
            post("7", "carol"),
            leave("7", "carol"),
            post("7", "carol"),
            join("7", "carol"),
            post("7", "carol"),
        ]
        outcomes = await ledger.append(entries)
        assert codes(outcomes) == [None, None, None, None, ErrorCode.NOT_A_MEMBER, None, None]
        assert seqs(outcomes) == [1, 2, 3, 4, 0, 5, 6]


@on_a_loop
async def test_a_group_id_that_is_there_is_refused_alone(stores: StoresBackend) -> None:
    async with stores.open() as (users, conversations, ledger):
        await add_users(users, *USERS)
        await append(ledger, create("7", "alice"))
        outcomes = await ledger.append([create("7", "bob"), create("8", "bob")])
        assert codes(outcomes) == [ErrorCode.UNAVAILABLE, None]
        assert await conversations.membership("7", "bob") is None
