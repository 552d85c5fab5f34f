"""chatd.services.groups"""

from collections.abc import Awaitable
from pathlib import Path

import pytest

from chatd.errors import ChatError
from chatd.services.groups import Change
from protocol import limits
from protocol.errors import ErrorCode
from protocol.model import Role
from tests.support.builders import NOW_MS, Core, core, create, direct, post, principal
from tests.support.running import on_a_loop

USERS = ("alice", "bob", "carol", "dave")
ALICE, BOB, CAROL = principal("alice"), principal("bob"), principal("carol")


async def code_of(work: Awaitable[object]) -> ErrorCode:
    with pytest.raises(ChatError) as refused:
        await work
    return refused.value.code


async def club(here: Core) -> None:
    """A group of alice, its admin, and bob."""
    await here.submit(create("7", "alice", ["bob"]))


@on_a_loop
async def test_a_change_is_told_to_the_members(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await club(here)
        bob = await here.connect("bob", resumes=True)
        alice = await here.connect("alice")
        change = Change(name="new", topic="of the day", avatar_url="https://a.example/p.png")
        outcome = await here.groups.update(ALICE, "7", change)
        assert (outcome.seq, outcome.duplicate) == (2, False)
        await here.groups.change_role(ALICE, "7", "bob", Role.ADMIN)
        await here.groups.add(BOB, "7", "carol")
        await here.groups.remove(BOB, "7", "carol")
        frames = [frame for frame in alice.frames() if frame["seq"] > 1]
        assert [frame.pop("type") for frame in frames] == [
            "GROUP_UPDATED",
            "ROLE_CHANGED",
            "GROUP_MEMBER_JOINED",
            "GROUP_MEMBER_LEFT",
        ]
        assert [frame["by"] for frame in frames] == ["alice", "alice", "bob", "bob"]
        assert (frames[0]["name"], frames[0]["topic"], frames[0]["avatarUrl"]) == (
            "new",
            "of the day",
            "https://a.example/p.png",
        )
        assert (frames[1]["username"], frames[1]["role"]) == ("bob", "ADMIN")
        assert bob.frames() == []


@on_a_loop
async def test_what_is_empty_is_removed(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await club(here)
        await here.groups.update(ALICE, "7", Change(topic="t", avatar_url="http://a/b"))
        await here.groups.update(ALICE, "7", Change(topic="", avatar_url=""))
        summary = (await here.groups.overview(BOB, "7")).summary
        assert (summary.name, summary.topic, summary.avatar_url) == ("group 7", None, None)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (Change(), "name"),
        (Change(name=""), "name"),
        (Change(name="  "), "name"),
        (Change(name="two\nlines"), "name"),
        (Change(name="x" * (limits.GROUP_NAME_CHARS + 1)), "name"),
        (Change(topic="x" * (limits.TOPIC_CHARS + 1)), "topic"),
        (Change(topic="two\nlines"), "topic"),
        (Change(avatar_url="ftp://a/b"), "avatarUrl"),
        (Change(avatar_url="javascript:alert(1)"), "avatarUrl"),
        (Change(avatar_url="picture.png"), "avatarUrl"),
        (Change(avatar_url="https://"), "avatarUrl"),
        (Change(avatar_url="http://[::1"), "avatarUrl"),
        (Change(avatar_url="http://a/b c"), "avatarUrl"),
        (Change(avatar_url="http://a/" + "x" * limits.AVATAR_URL_CHARS), "avatarUrl"),
        (Change(name="good", avatar_url="data:image/png,x"), "avatarUrl"),
    ],
    ids=str,
)
@on_a_loop
async def test_what_nobody_could_show_is_refused(
    tmp_path: Path, change: Change, field: str
) -> None:
    async with core(tmp_path, *USERS) as here:
        await club(here)
        with pytest.raises(ChatError) as refused:
            await here.groups.update(ALICE, "7", change)
        assert refused.value.code is ErrorCode.INVALID_FIELD
        assert f"`{field}`" in refused.value.message
        assert await here.ledger.heads(["7"]) == {"7": 1}


@pytest.mark.parametrize(
    "change",
    [
        Change(name="x" * limits.GROUP_NAME_CHARS),
        Change(topic="x" * limits.TOPIC_CHARS),
        Change(avatar_url="http://a/" + "x" * (limits.AVATAR_URL_CHARS - 9)),
        Change(avatar_url="https://a.example:8443/p?q=1#f"),
        Change(avatar_url="http://[::1]/p"),
    ],
    ids=lambda change: str(change)[:30],
)
@on_a_loop
async def test_what_is_just_good_enough_is_taken(tmp_path: Path, change: Change) -> None:
    async with core(tmp_path, *USERS) as here:
        await club(here)
        await here.groups.update(ALICE, "7", change)


@on_a_loop
async def test_only_admins_change_a_group(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await club(here)
        groups = here.groups
        for group_id, user, expected in (
            ("7", BOB, ErrorCode.FORBIDDEN),
            ("7", CAROL, ErrorCode.NOT_A_MEMBER),
            ("8", ALICE, ErrorCode.NOT_A_MEMBER),
        ):
            for work in (
                groups.update(user, group_id, Change(name="new")),
                groups.add(user, group_id, "dave"),
                groups.change_role(user, group_id, "alice", Role.MEMBER),
                groups.remove(user, group_id, "alice"),
            ):
                assert await code_of(work) is expected
        assert await here.ledger.heads(["7"]) == {"7": 1}


@on_a_loop
async def test_a_direct_conversation_stays_as_it_is(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(direct("alice", "bob"))
        groups, chat = here.groups, "alice-bob"
        for work in (
            groups.update(ALICE, chat, Change(name="new")),
            groups.add(ALICE, chat, "dave"),
            groups.change_role(ALICE, chat, "bob", Role.ADMIN),
            groups.remove(ALICE, chat, "bob"),
            groups.remove(ALICE, chat, "alice"),
        ):
            assert await code_of(work) is ErrorCode.FORBIDDEN
        assert await code_of(groups.add(CAROL, chat, "carol")) is ErrorCode.NOT_A_MEMBER


@on_a_loop
async def test_what_the_ledger_refuses_is_told_in_words(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await club(here)
        await here.users.block("dave", "alice", NOW_MS)
        groups = here.groups
        for work, code, words in (
            (groups.add(ALICE, "7", "nobody"), ErrorCode.NO_SUCH_USER, "nobody"),
            (groups.add(ALICE, "7", "bob"), ErrorCode.ALREADY_A_MEMBER, "already"),
            (groups.add(ALICE, "7", "dave"), ErrorCode.BLOCKED, "dave"),
            (groups.remove(ALICE, "7", "carol"), ErrorCode.NOT_A_MEMBER, "carol"),
            (groups.remove(ALICE, "7", "alice"), ErrorCode.LAST_ADMIN, "admin"),
            (groups.change_role(ALICE, "7", "alice", Role.MEMBER), ErrorCode.LAST_ADMIN, "admin"),
            (groups.change_role(ALICE, "7", "carol", Role.ADMIN), ErrorCode.NOT_A_MEMBER, "carol"),
            (groups.change_role(BOB, "7", "bob", Role.ADMIN), ErrorCode.FORBIDDEN, "admins"),
        ):
            with pytest.raises(ChatError) as refused:
                await work
            assert refused.value.code is code
            assert words in refused.value.message


@on_a_loop
async def test_a_role_that_one_has_is_a_duplicate(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await club(here)
        alice = await here.connect("alice", resumes=True)
        outcome = await here.groups.change_role(ALICE, "7", "bob", Role.MEMBER)
        assert outcome.duplicate
        assert alice.frames() == []
        assert await here.ledger.heads(["7"]) == {"7": 1}


@on_a_loop
async def test_who_leaves_by_itself_need_not_be_admin(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await club(here)
        await here.groups.remove(BOB, "7", "bob")
        await here.groups.remove(ALICE, "7", "alice")
        assert await code_of(here.groups.overview(ALICE, "7")) is ErrorCode.NOT_A_MEMBER


@on_a_loop
async def test_a_list_goes_on_after_its_last(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(*(create(f"{n}", "alice") for n in range(5)), create("9", "bob"))
        page = await here.groups.overviews(ALICE, limit=3, after=None)
        assert [one.summary.name for one in page] == ["group 0", "group 1", "group 2"]
        last = page[-1].summary.at_ms, page[-1].membership.conversation_id
        page = await here.groups.overviews(ALICE, limit=3, after=last)
        assert [one.summary.name for one in page] == ["group 3", "group 4"]


@on_a_loop
async def test_members_see_who_is_in_and_strangers_do_not(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(create("7", "carol", ["alice", "bob"]), post("7", "bob"))
        groups = here.groups
        page = await groups.members(BOB, "7", after="", limit=2)
        assert [member.username for member in page] == ["alice", "bob"]
        page = await groups.members(BOB, "7", after="bob", limit=2)
        assert [(member.username, member.role) for member in page] == [("carol", Role.ADMIN)]
        overview = await groups.overview(ALICE, "7")
        assert (overview.summary.member_count, overview.unread) == (3, 1)
        stranger = principal("dave")
        members = groups.members(stranger, "7", after="", limit=2)
        assert await code_of(members) is ErrorCode.NOT_A_MEMBER
        assert await code_of(groups.overview(stranger, "7")) is ErrorCode.NOT_A_MEMBER
