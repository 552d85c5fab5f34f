"""chatd.services.conversations"""

from pathlib import Path

import pytest

from chatd.errors import ChatError
from chatd.stores.ledger import Outcome
from protocol import limits
from protocol.errors import ErrorCode
from protocol.model import HistoryVisibility, Role
from protocol.requests import CreateGroup, JoinGroup, LeaveGroup, NewOneToOneChat
from tests.support.builders import Core, core, create, direct, principal, traced
from tests.support.names import built_names
from tests.support.running import on_a_loop

USERS = ("alice", "bob", "carol")


@on_a_loop
async def test_opening_a_direct_conversation_tells_the_other(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        alice, bob = await here.connect("alice"), await here.connect("bob")
        request = NewOneToOneChat(to="alice")
        assert await here.conversations.open_direct(principal("bob"), request) == "alice-bob"
        expected = {"type": "NEW_ONE_TO_ONE_CHAT", "from": "bob", "chatId": "alice-bob"}
        assert alice.frames() == [expected]
        assert bob.frames() == []
        assert await here.store.membership("alice-bob", "alice") is not None


@on_a_loop
async def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(direct("alice", "bob"))
        request = NewOneToOneChat(to="bob")
        assert await here.conversations.open_direct(principal("alice"), request) == "alice-bob"
        assert await here.ledger.heads(["alice-bob"]) == {"alice-bob": 1}


@pytest.mark.parametrize(
    ("to", "code"),
    [("alice", ErrorCode.INVALID_FIELD), ("nobody", ErrorCode.NO_SUCH_USER)],
)
@on_a_loop
async def test_one_opens_a_conversation_with_another_user(
    tmp_path: Path, to: str, code: ErrorCode
) -> None:
    async with core(tmp_path, *USERS) as here:
        with pytest.raises(ChatError) as refused:
            await here.conversations.open_direct(principal("alice"), NewOneToOneChat(to=to))
        assert refused.value.code is code
        assert await here.store.memberships("alice") == []


@on_a_loop
async def test_a_group_has_its_creator_and_each_member_once(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        bob = await here.connect("bob")
        request = CreateGroup(
            name="friends",
            members=["bob", "alice", "bob"],
            open=True,
            history=HistoryVisibility.ALL,
        )
        outcome = await here.conversations.append_group(principal("alice"), request)
        assert (outcome.code, outcome.seq) == (None, 1)
        (frame,) = bob.frames()
        group_id = frame["groupId"]
        assert frame == {
            "type": "GROUP_CREATED",
            "groupId": group_id,
            "name": "friends",
            "by": "alice",
            "members": ["alice", "bob"],
            "open": True,
            "history": "all",
            "at": here.clock.now_ms(),
            "seq": 1,
            "prev": 0,
        }
        assert group_id.isdecimal()
        membership = await here.store.membership(group_id, "alice")
        assert membership is not None and membership.role is Role.ADMIN


@on_a_loop
async def test_a_group_of_somebody_unknown_is_refused(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        request = CreateGroup(name="friends", members=["bob", "nobody"])
        outcome = await here.conversations.append_group(principal("alice"), request)
        assert (outcome.code, outcome.detail) == (ErrorCode.NO_SUCH_USER, "nobody")


@on_a_loop
async def test_too_many_members_at_once_are_too_large(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        members = [f"user{n}" for n in range(limits.CREATE_GROUP_MEMBERS + 1)]
        with pytest.raises(ChatError) as refused:
            await here.conversations.append_group(
                principal("alice"), CreateGroup(name="all", members=members)
            )
        assert refused.value.code is ErrorCode.TOO_LARGE
        assert "`members`" in refused.value.message
        outcome = await here.conversations.append_group(
            principal("alice"), CreateGroup(name="all", members=members[:-1])
        )
        assert outcome.code is ErrorCode.NO_SUCH_USER


@pytest.mark.parametrize("name", ["   ", "two\nlines", "\x00"])
@on_a_loop
async def test_a_groups_name_can_be_seen(tmp_path: Path, name: str) -> None:
    async with core(tmp_path, *USERS) as here:
        with pytest.raises(ChatError) as refused:
            await here.conversations.append_group(principal("alice"), CreateGroup(name=name))
        assert refused.value.code is ErrorCode.INVALID_FIELD
        assert "`name`" in refused.value.message


async def join(here: Core, username: str, group_id: str) -> Outcome:
    outcomes: list[Outcome] = []
    request = JoinGroup(group_id=group_id)
    here.conversations.join_group(
        principal(username), request, None, lambda _, outcome: outcomes.append(outcome)
    )
    await here.gate.drain()
    await here.journal.drain()
    return outcomes[0]


async def leave(here: Core, username: str, group_id: str) -> Outcome:
    outcomes: list[Outcome] = []
    request = LeaveGroup(group_id=group_id)
    here.conversations.leave_group(
        principal(username), request, None, lambda _, outcome: outcomes.append(outcome)
    )
    await here.gate.drain()
    await here.journal.drain()
    return outcomes[0]


@on_a_loop
async def test_joining_and_leaving_are_told_to_the_group(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(create("7", "alice", is_open=True))
        alice = await here.connect("alice")
        assert (await join(here, "bob", "7")).seq == 2
        assert (await join(here, "bob", "7")).code is ErrorCode.ALREADY_A_MEMBER
        assert (await leave(here, "bob", "7")).seq == 3
        assert (await leave(here, "bob", "7")).code is ErrorCode.NOT_A_MEMBER
        told = [(frame["type"], frame["username"], frame["by"]) for frame in alice.frames()]
        assert told == [
            ("GROUP_MEMBER_JOINED", "bob", "bob"),
            ("GROUP_MEMBER_LEFT", "bob", "bob"),
        ]


@on_a_loop
async def test_the_only_admin_may_leave_as_the_last_one(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(create("7", "alice", ["bob"]))
        assert (await leave(here, "alice", "7")).code is ErrorCode.LAST_ADMIN
        await leave(here, "bob", "7")
        assert (await leave(here, "alice", "7")).code is None


@on_a_loop
async def test_no_invite_is_valid_yet(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(create("7", "alice", is_open=True))
        request = JoinGroup(group_id="7", invite="abc")
        with pytest.raises(ChatError) as refused:
            here.conversations.join_group(principal("bob"), request, None, lambda _, __: None)
        assert refused.value.code is ErrorCode.INVITE_EXPIRED


@on_a_loop
async def test_what_nobody_has_is_refused_without_a_look_into_the_store(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here, built_names(here):
        statements = [await traced(here.reader), await traced(here.writer)]
        for lines in statements:
            lines.clear()
        with pytest.raises(ChatError) as refused:
            await here.conversations.open_direct(principal("alice"), NewOneToOneChat(to="nobody"))
        assert refused.value.code is ErrorCode.NO_SUCH_USER
        assert (await join(here, "alice", "7")).code is ErrorCode.NOT_A_MEMBER
        assert (await leave(here, "alice", "7")).code is ErrorCode.NOT_A_MEMBER
        assert statements == [[], []]


@on_a_loop
async def test_a_group_that_was_made_is_there_for_all(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here, built_names(here):
        bob = await here.connect("bob")
        request = CreateGroup(name="friends", members=["bob"], open=True)
        outcomes: list[Outcome] = []
        here.conversations.create_group(
            principal("alice"), request, None, lambda _, outcome: outcomes.append(outcome)
        )
        await here.gate.drain()
        assert [outcome.code for outcome in outcomes] == [None]
        assert (await join(here, "carol", bob.frames()[0]["groupId"])).code is None
