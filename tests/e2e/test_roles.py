"""What the admins of a group do over HTTP: roles, members, the name; each is one event."""

from typing import Any

import pytest

from protocol.model import Role
from protocol.pushes import (
    GroupMemberJoined,
    GroupUpdated,
    RoleChanged,
)
from tests.e2e import rest
from tests.e2e.frames import Place, club, post, resume
from tests.e2e.rest import done, group_path, refused
from tests.e2e.test_accounts import check_problem
from tests.e2e.town import Resident, Town, everything
from tests.support.loop import run
from tests.support.node import Node


async def members(town: Town, place: Place, who: Resident) -> list[tuple[str, str]]:
    page = await done(town, "GET", group_path(place, "members"), who)
    return [(one["username"], one["role"]) for one in page["members"]]


async def summary(town: Town, place: Place, who: Resident) -> dict[str, Any]:
    found: dict[str, Any] = await done(town, "GET", group_path(place), who)
    return found


def test_a_group_and_its_members_are_shown(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.settle_all("ann", "ben", "cat")
            admin, member = await town.connect_all(ann, ben)
            place = await club(admin, member)
            posted = await post(member, place, "hello")
            shown = await summary(town, place, ann)
            assert shown.pop("lastMessage")["id"] == posted.id
            assert shown == {
                "id": place.id,
                "type": "group",
                "name": "club",
                "topic": None,
                "avatarUrl": None,
                "open": False,
                "peer": None,
                "role": "ADMIN",
                "memberCount": 2,
                "lastSeq": 2,
                "deliveredSeq": shown["deliveredSeq"],
                "readSeq": 1,
                "unread": 1,
            }
            assert (await summary(town, place, ben))["role"] == "MEMBER"
            assert await members(town, place, ben) == [(ann.name, "ADMIN"), (ben.name, "MEMBER")]
            # A page of one, and the next.
            path = group_path(place, "members")
            page = await done(town, "GET", f"{path}?limit=1", ben)
            assert [one["username"] for one in page["members"]] == [ann.name]
            assert page["next"] == ann.name
            page = await done(town, "GET", f"{path}?limit=1&after={page['next']}", ben)
            assert [one["username"] for one in page["members"]] == [ben.name]
            assert page["next"] is None
            for limit in ("0", "201", "x"):
                assert await refused(town, "GET", f"{path}?limit={limit}", ben) == "INVALID_FIELD"
            direct = await member.send_direct(ann.name, "hi")
            shown = await done(town, "GET", f"/api/conversations/{direct.chat_id}", ann)
            assert (shown["type"], shown["peer"], shown["memberCount"]) == ("direct", ben.name, 2)
            for who, id in ((cat, place.id), (cat, direct.chat_id), (ann, "17"), (ann, "a-b")):
                for path in (f"/api/conversations/{id}", f"/api/conversations/{id}/members"):
                    assert await refused(town, "GET", path, who) == "NOT_A_MEMBER"

    run(main())


def test_a_role_is_given_and_taken(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.settle_all("ann", "ben", "cat")
            admin, member, other = await town.connect_all(ann, ben, cat)
            place = await club(admin, member, other)
            path = group_path(place, "members", ben.name)
            for seq, role, by in ((2, "ADMIN", ann), (3, "MEMBER", ben), (4, "ADMIN", ann)):
                reply = await done(town, "PATCH", path, by, {"role": role})
                assert reply == {"seq": seq}
                for client in (admin, member, other):
                    # Nobody's connection asked: all of them are told.
                    event = await client.next_push()
                    assert isinstance(event, RoleChanged)
                    assert event == RoleChanged(
                        group_id=place.id,
                        username=ben.name,
                        role=Role(role),
                        by=by.name,
                        at=event.at,
                        seq=seq,
                        prev=seq - 1,
                    )
                assert (await summary(town, place, ben))["role"] == role
                groups = (await member.init_data()).groups
                assert [group.role for group in groups] == [Role(role)]
            # What is so already is no event.
            await done(town, "PATCH", path, ann, {"role": "ADMIN"})
            assert (await summary(town, place, ann))["lastSeq"] == 4
            assert await everything(other) == []
            for body in ({"role": "OWNER"}, {"role": None}, {}, {"role": 7}):
                assert await refused(town, "PATCH", path, ann, body) == "INVALID_FIELD"
            for name in (cat.name.upper(), "nobody.here"):
                body = {"role": "ADMIN"}
                path = group_path(place, "members", name)
                assert await refused(town, "PATCH", path, ann, body) == "NOT_A_MEMBER"

    run(main())


def test_a_group_keeps_an_admin(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            admin, member = await town.connect_all(ann, ben)
            place = await club(admin, member)
            own = group_path(place, "members", ann.name)
            for _ in range(2):
                code = await refused(town, "PATCH", own, ann, {"role": "MEMBER"})
                assert code == "LAST_ADMIN"
                assert await refused(town, "DELETE", own, ann) == "LAST_ADMIN"
            assert await everything(member) == []
            await rest.change_role(town, ann, place, ben, "ADMIN")
            await done(town, "DELETE", own, ann)
            assert await members(town, place, ben) == [(ben.name, "ADMIN")]
            # The last member may go, and who comes into an empty group is its admin.
            await done(town, "DELETE", group_path(place, "members", ben.name), ben)
            assert await refused(town, "GET", group_path(place), ben) == "NOT_A_MEMBER"
            for client in (admin, member):
                assert (await client.init_data()).groups == []

    run(main())


def test_a_member_is_added(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.settle_all("ann", "ben", "cat")
            admin, member, added, tablet = await town.connect_all(ann, ben, cat, cat)
            place = await club(admin, member)
            await post(member, place, "not for cat")
            path = group_path(place, "members")
            assert await done(town, "POST", path, ann, {"username": cat.name}) == {"seq": 3}
            for client in (admin, member, added, tablet):
                event = await client.next_push(GroupMemberJoined)
                assert (event.username, event.by, event.seq) == (cat.name, ann.name, 3)
            live = await post(member, place, "for cat too")
            for client in (added, tablet):
                assert getattr(await client.next_push(), "id", None) == live.id
            late = await town.connect(cat, resumes=True)
            came, _ = await resume(late, {place.id: 0})
            assert [getattr(frame, "seq", None) for frame in came] == [3, 4]
            for body, code in (
                ({"username": cat.name}, "ALREADY_A_MEMBER"),
                ({"username": ann.name}, "ALREADY_A_MEMBER"),
                ({"username": "nobody.here"}, "NO_SUCH_USER"),
                ({"username": 7}, "INVALID_FIELD"),
                ({}, "INVALID_FIELD"),
            ):
                assert await refused(town, "POST", path, ann, body) == code
            assert (await summary(town, place, ann))["memberCount"] == 3

    run(main())


def test_a_group_is_renamed(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.settle_all("ann", "ben", "cat")
            admin, member = await town.connect_all(ann, ben)
            place = await club(admin, member, open=True)
            url = "https://pictures.example/a.png"
            for number, (body, shown) in enumerate(
                [
                    ({"name": "The Club"}, ("The Club", None, None)),
                    ({"topic": "chess", "avatarUrl": url}, ("The Club", "chess", url)),
                    ({"name": "Klub", "topic": "go"}, ("Klub", "go", url)),
                    ({"topic": "", "avatarUrl": ""}, ("Klub", None, None)),
                ]
            ):
                reply = await done(town, "PATCH", group_path(place), ann, body)
                assert (reply["name"], reply["topic"], reply["avatarUrl"]) == shown
                assert reply["lastSeq"] == number + 2
                for client in (admin, member):
                    event = await client.next_push(GroupUpdated)
                    assert event == GroupUpdated(
                        group_id=place.id,
                        name=body.get("name"),
                        topic=body.get("topic"),
                        avatar_url=body.get("avatarUrl"),
                        by=ann.name,
                        at=event.at,
                        seq=number + 2,
                        prev=number + 1,
                    )
                (group,) = (await member.init_data()).groups
                assert (group.name, group.topic, group.avatar_url) == shown
            # Who comes later finds it as it is.
            late = await town.connect(cat)
            await late.join_group(place.id)
            (group,) = (await late.init_data()).groups
            assert group.name == "Klub"

    run(main())


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": " "}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": 7}, "name"),
        ({"topic": "x" * 251}, "topic"),
        ({"topic": "two\nlines"}, "topic"),
        ({"topic": []}, "topic"),
        ({"avatarUrl": "javascript:alert(1)"}, "avatarUrl"),
        ({"avatarUrl": "picture.png"}, "avatarUrl"),
        ({"avatarUrl": "https://"}, "avatarUrl"),
        ({"avatarUrl": "http://[x"}, "avatarUrl"),
        ({"avatarUrl": "https://x.example/" + "x" * 500}, "avatarUrl"),
        ({"name": "fine", "avatarUrl": "not so"}, "avatarUrl"),
    ],
    ids=lambda value: f"{value!s:.30}",
)
def test_a_bad_name_topic_or_avatar(body: dict[str, Any], field: str, node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann = await town.settle("ann")
            place = await club(await town.connect(ann))
            reply = await rest.rest(town, "PATCH", group_path(place), ann, body)
            assert f"`{field}`" in check_problem(reply, 422, "INVALID_FIELD")
            assert (await summary(town, place, ann))["lastSeq"] == 1

    run(main())
