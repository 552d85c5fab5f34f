"""GET /api/conversations: all of them, however many, by the time of their last event."""

import time
from typing import Any, Final

import pytest

from protocol import requests
from protocol.limits import INIT_DATA_CONVERSATIONS
from protocol.pushes import Success
from tests.e2e import frames
from tests.e2e.frames import Place, chat, club, delete, edit, mark_read, post
from tests.e2e.rest import add, done, remove, rest
from tests.e2e.test_accounts import check_problem
from tests.e2e.town import Resident, Town, take
from tests.support.loop import run, until
from tests.support.node import Node

MANY: Final = INIT_DATA_CONVERSATIONS + 30


async def pages(
    town: Town, who: Resident, query: str = "", cursor: str = ""
) -> list[dict[str, Any]]:
    """All of the user's conversations, page by page; or those from a cursor on."""
    found: list[dict[str, Any]] = []
    cursor = cursor and f"&cursor={cursor}"
    while True:
        page = await done(town, "GET", f"/api/conversations?{query}{cursor}", who)
        assert page.keys() == {"conversations", "next"}
        found += page["conversations"]
        if page["next"] is None:
            return found
        assert page["conversations"]
        cursor = f"&cursor={page['next']}"


def test_pages_of_any_size_make_the_whole_and_init_data_begins_it(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann = await town.settle("ann")
            here = await town.connect(ann)
            for number in range(MANY):
                await here.send(requests.CreateGroup(name=f"{number}"))
            made = [frame.group_id for frame in await take(here, Success, MANY)]
            whole = await pages(town, ann, "limit=200")
            assert {one["id"] for one in whole} == set(made)
            assert len(whole) == MANY
            for query in ("", "limit=7", "limit=50", "limit=199"):
                assert await pages(town, ann, query) == whole
            first = await here.init_data()
            assert first.has_more
            ids = [one["id"] for one in whole]
            assert [group.group_id for group in first.groups] == ids[:INIT_DATA_CONVERSATIONS]
            # A client that knows them all resumes them all.
            late = await town.connect(ann, resumes=True)
            came, errors = await frames.resume(late, dict.fromkeys(ids, 0))
            assert (len(came), errors) == (MANY, {})

    run(main())


def test_it_says_of_each_what_it_says_of_one(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            here, other = await town.connect_all(ann, ben)
            direct, group = chat(ann, ben), await club(other, here)
            left = await club(other, here)
            for place in (direct, group, left):
                await post(other, place, "hello")
            opened = await town.settle("cat")
            await here.open_chat(opened.name)
            await remove(town, ben, left, ann)
            found = await pages(town, ann)
            assert [one["id"] for one in found[1:]] == [group.id, direct.id]
            assert found[0]["id"] == chat(ann, opened).id
            assert (found[0]["peer"], found[0]["lastSeq"]) == (opened.name, 0)
            for one in found:
                assert one == await done(town, "GET", f"/api/conversations/{one['id']}", ann)
            assert [one["unread"] for one in found] == [0, 1, 1]
            # What has a new event comes first.
            posted = await post(other, direct, "news")
            found = await pages(town, ann)
            assert found[0]["id"] == direct.id
            assert found[0]["lastMessage"]["id"] == posted.id
            assert await pages(town, await town.settle("new")) == []

    run(main())


async def tick() -> None:
    """What comes in one millisecond has no order in the list."""
    begun = time.time_ns() // 1_000_000
    await until(lambda: time.time_ns() // 1_000_000 > begun, "a tick")


def test_a_page_says_whether_another_follows(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann = await town.settle("ann")
            here = await town.connect(ann)
            for _ in range(4):
                await club(here)
            path = "/api/conversations?limit"
            whole = await done(town, "GET", f"{path}=4", ann)
            assert (len(whole["conversations"]), whole["next"]) == (4, None)
            first = await done(town, "GET", f"{path}=3", ann)
            assert first["conversations"] == whole["conversations"][:3]
            last = await done(town, "GET", f"{path}=3&cursor={first['next']}", ann)
            assert last == {"conversations": whole["conversations"][3:], "next": None}

    run(main())


def test_one_that_has_news_while_pages_are_read_moves_to_the_first(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann = await town.settle("ann")
            here = await town.connect(ann)
            for _ in range(6):
                await club(here)
            ids = [one["id"] for one in await pages(town, ann)]
            page = await done(town, "GET", "/api/conversations?limit=2", ann)
            await tick()
            await post(here, Place(group_id=ids[-1]), "news")
            others = await pages(town, ann, "limit=2", page["next"])
            assert [one["id"] for one in others] == ids[2:-1], "no other one is left out"
            again = await done(town, "GET", "/api/conversations?limit=2", ann)
            assert [one["id"] for one in again["conversations"]] == [ids[-1], ids[0]]

    run(main())


def test_unread_and_the_last_message_as_they_are_now(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            here, other = await town.connect_all(ann, ben)
            place = chat(ann, ben)

            async def shown(who: Resident) -> dict[str, Any]:
                (one,) = await pages(town, who)
                return one

            one, two = await post(other, place, "one"), await post(other, place, "two")
            three = await post(other, place, "three")
            assert ((await shown(ann))["unread"], (await shown(ben))["unread"]) == (3, 0)
            await mark_read(here, place, one.seq)
            seen = await shown(ann)
            assert (seen["unread"], seen["readSeq"], seen["deliveredSeq"]) == (2, one.seq, one.seq)
            assert (seen["lastMessage"]["id"], seen["lastMessage"]["version"]) == (three.id, 1)
            await edit(other, place, three.id, "3")
            for who in (ann, ben):
                last = (await shown(who))["lastMessage"]
                assert (last["content"], last["version"], last["from"]) == ("3", 2, ben.name)
                assert last["editedAt"] >= last["sentAt"]
            await delete(other, place, two.id)
            await delete(other, place, three.id)
            seen = await shown(ann)
            assert (seen["unread"], seen["lastSeq"]) == (0, 6)
            last = seen["lastMessage"]
            assert (last["id"], last["content"], last["deleted"]) == (three.id, "", True)
            await post(here, place, "four")
            assert (await shown(ann))["unread"] == 0
            assert ((await shown(ben))["unread"], (await shown(ben))["lastSeq"]) == (1, 7)

    run(main())


def test_it_shows_what_its_reader_may_read_and_nothing_of_strangers(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat, stranger = await town.settle_all("ann", "ben", "cat", "stranger")
            here, other, left = await town.connect_all(ann, ben, cat)
            group = await club(here, other, left)
            await post(here, group, "not for a stranger")
            await post(here, chat(ann, ben), "nor this")
            await remove(town, ann, group, cat)
            for who in (cat, stranger):
                assert await pages(town, who) == []
            # Somebody else's cursor opens nothing.
            page = await done(town, "GET", "/api/conversations?limit=1", ann)
            for cursor in (page["next"], f"9999999999999999.{group.id}"):
                assert await pages(town, stranger, "", cursor) == []
            await add(town, ann, group, stranger)
            (one,) = await pages(town, stranger)
            assert (one["id"], one["unread"], one["lastMessage"]) == (group.id, 0, None)
            assert (one["type"], one["role"], one["memberCount"]) == ("group", "MEMBER", 3)
            for token in (None, "not.a.token"):
                reply = await rest(town, "GET", "/api/conversations", token)
                check_problem(reply, 401, "UNAUTHENTICATED")

    run(main())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("limit", value) for value in ("0", "-1", "201", "x", "1.5", "")),
        *(("cursor", value) for value in ("", "x", ".", "1", "-1.a", "1e3.a", "%D9%A1.a")),
        ("cursor", "9" * 17 + ".a"),
    ],
)
def test_a_bad_page_is_refused(field: str, value: str, node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann = await town.settle("ann")
            reply = await rest(town, "GET", f"/api/conversations?{field}={value}", ann)
            assert f"`{field}`" in check_problem(reply, 422, "INVALID_FIELD")

    run(main())


@pytest.mark.parametrize("cursor", ["9999999999999999.", "0.x", "1.a-b", "1.%27%20OR%201=1"])
def test_a_cursor_of_a_conversation_that_is_not_there_is_a_place_all_the_same(
    cursor: str, node: Node
) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann = await town.settle("ann")
            await club(await town.connect(ann))
            found = await pages(town, ann, "", cursor)
            assert len(found) == (1 if cursor.startswith("9") else 0)

    run(main())
