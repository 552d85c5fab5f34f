"""Who is typing: told to the others while it lasts, and to nobody later."""

import pytest

from protocol import requests
from protocol.errors import ErrorCode
from protocol.pushes import Error, GroupChat, OneToOneChat, Typing
from testclients.client import ChatClient
from tests.e2e.frames import Place, chat, club, history, post, resume, typing
from tests.e2e.rest import block, remove
from tests.e2e.town import Resident, Town, everything
from tests.support.loop import run
from tests.support.node import Node


def of(place: Place, who: Resident, is_typing: bool = True) -> Typing:
    return Typing(**place._asdict(), username=who.name, is_typing=is_typing)


async def check_refused(client: ChatClient, place: Place, code: ErrorCode) -> None:
    for is_typing in (True, False):
        await client.send(requests.Typing(ref="t", **place._asdict(), is_typing=is_typing))
        error = await client.next_push(Error)
        assert (error.ref, error.code) == ("t", code)


@pytest.mark.parametrize("kind", ["direct", "group"])
def test_the_others_are_told(kind: str, node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.settle_all("ann", "ben", "cat")
            phone, laptop, reader, tablet, stranger = await town.connect_all(
                ann, ann, ben, ben, cat
            )
            if kind == "direct":
                place = chat(ann, ben)
                await post(phone, place, "hello")
            else:
                place = await club(phone, reader)
            for client in (laptop, reader, tablet):
                await everything(client)
            # Renewals within three seconds are not passed on.
            for is_typing in (False, True, True, True, False, False, True, False):
                await typing(phone, place, is_typing)
            await phone.ping()
            told = [of(place, ann, is_typing) for is_typing in (True, False, True, False)]
            for client in (reader, tablet):
                assert await everything(client) == told
            for client in (phone, laptop, stranger):
                assert await everything(client) == [], "no reply, and not to oneself"

    run(main())


def test_each_who_types_is_told_of(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.settle_all("ann", "ben", "cat")
            clients = await town.connect_all(ann, ben, cat)
            place = await club(*clients)
            for client in clients:
                await typing(client, place)
                await client.ping()
            await typing(clients[0], place, False)
            await clients[0].ping()
            assert await everything(clients[0]) == [of(place, ben), of(place, cat)]
            assert await everything(clients[1]) == [
                of(place, ann),
                of(place, cat),
                of(place, ann, False),
            ]
            assert await everything(clients[2]) == [
                of(place, ann),
                of(place, ben),
                of(place, ann, False),
            ]

    run(main())


def test_who_is_not_in_it_is_refused_and_not_heard(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat, dan = await town.settle_all("ann", "ben", "cat", "dan")
            admin, former, member, stranger = await town.connect_all(ann, ben, cat, dan)
            group = await club(admin, former, member)
            direct = chat(ann, cat)
            await post(admin, direct, "hello")
            await remove(town, ann, group, ben)
            await everything(admin)
            for place in (group, direct, Place(group_id="17"), Place(chat_id="x-y")):
                await check_refused(stranger, place, ErrorCode.NOT_A_MEMBER)
            await check_refused(former, group, ErrorCode.NOT_A_MEMBER)
            swapped = Place(chat_id=group.id), Place(group_id=direct.id)
            for place in swapped:
                await check_refused(admin, place, ErrorCode.NOT_A_MEMBER)
            for place in (Place(), Place(chat_id=direct.id, group_id=group.id)):
                await check_refused(admin, place, ErrorCode.INVALID_FIELD)
            await typing(admin, group)
            await typing(admin, group, False)
            await post(admin, chat(ann, ben), "you hear only this")
            assert isinstance(await former.next_push(OneToOneChat), OneToOneChat)
            heard = [frame for frame in await everything(former) if isinstance(frame, Typing)]
            assert heard == []

    run(main())


def test_between_users_of_whom_one_has_blocked_the_other(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            blocking, blocked = await town.connect_all(ann, ben)
            direct, group = chat(ann, ben), await club(blocking, blocked)
            await post(blocked, direct, "hello")
            await block(town, ann, ben)
            for client in (blocking, blocked):
                await everything(client)
                await check_refused(client, direct, ErrorCode.BLOCKED)
            await typing(blocked, group)
            await blocked.ping()
            assert await everything(blocking) == [of(group, ben)], "a group is not theirs alone"

    run(main())


def test_a_renewal_is_refused_as_well(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            admin, member = await town.connect_all(ann, ben)
            direct, group = chat(ann, ben), await club(admin, member)
            await post(member, direct, "hello")
            for place in (direct, group):
                await typing(member, place)
            await member.ping()
            await block(town, ann, ben)
            await remove(town, ann, group, ben)
            await typing(member, direct)
            await typing(member, group)
            await member.ping()
            errors = [frame for frame in await everything(member) if isinstance(frame, Error)]
            assert [error.code for error in errors] == [ErrorCode.BLOCKED, ErrorCode.NOT_A_MEMBER]

    run(main())


def test_it_is_not_kept(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ann)
            group = await club(writer, await town.connect(ben))
            before = await post(writer, group, "before")
            late = await town.connect(ben, resumes=True)
            await typing(writer, group)
            after = await post(writer, group, "after")
            assert after.seq == before.seq + 1, "it takes no number"
            came, _ = await resume(late, {group.id: 1})
            assert [type(frame) for frame in came] == [GroupChat, GroupChat]
            page = await history(late, group)
            assert [message.content for message in page.messages] == ["before", "after"]

    run(main())
