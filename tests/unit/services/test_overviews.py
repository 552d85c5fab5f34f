"""chatd.services.overviews"""

from pathlib import Path

from protocol import limits
from tests.support.builders import core, create, direct, join, post
from tests.support.changes import delete, place
from tests.support.running import on_a_loop

USERS = ("alice", "bob", "carol")


@on_a_loop
async def test_each_conversation_has_its_own_tail(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        now = here.clock.now_ms()
        await here.submit(
            direct("alice", "bob", at_ms=now + 3),
            create("7", "bob", at_ms=now + 2),
            post("7", "bob", at_ms=now + 2),
            direct("carol", "bob", at_ms=now + 1),
            direct("carol", "bob", at_ms=now + 1),
        )
        found = await here.overviews.newest("bob", limit=9)
        assert [one.membership.conversation_id for one in found] == ["alice-bob", "7", "bob-carol"]
        assert [one.unread for one in found] == [1, 0, 2]
        for one in found:
            last = one.tail.last_message
            assert last is not None and last.posted.seq == one.summary.head
            conversation_id = one.membership.conversation_id
            assert last.posted.conversation_id == conversation_id
            assert await here.overviews.one(conversation_id, "bob") == one
        second = found[1].summary
        after = second.at_ms, second.membership.conversation_id
        assert await here.overviews.newest("bob", limit=2) == found[:2]
        assert await here.overviews.newest("bob", limit=2, after=after) == found[2:]


@on_a_loop
async def test_who_is_in_no_conversation_has_none(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(create("7", "alice"))
        assert await here.overviews.newest("bob", limit=9) == []
        assert await here.overviews.one("7", "bob") is None
        assert await here.overviews.one("8", "alice") is None


@on_a_loop
async def test_a_new_member_sees_what_came_since(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        await here.submit(
            create("7", "alice", is_open=True), post("7", "alice"), join("7", "carol")
        )
        (overview,) = await here.overviews.newest("carol", limit=1)
        assert (overview.unread, overview.tail.last_message) == (0, None)
        await here.submit(post("7", "alice"))
        (overview,) = await here.overviews.newest("carol", limit=1)
        assert overview.unread == 1 and overview.tail.last_message is not None


@on_a_loop
async def test_beyond_the_cap_there_is_a_plus(tmp_path: Path) -> None:
    async with core(tmp_path, *USERS) as here:
        said = [direct("alice", "bob") for _ in range(limits.UNREAD_CAP + 1)]
        await here.submit(*said)
        overview = await here.overviews.one("alice-bob", "bob")
        assert overview is not None and overview.unread == f"{limits.UNREAD_CAP}+"
        await here.submit(delete(place(said[0], 1), "alice"))
        overview = await here.overviews.one("alice-bob", "bob")
        assert overview is not None and overview.unread == limits.UNREAD_CAP
