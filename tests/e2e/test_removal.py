"""Who is removed from a group, or leaves it, is sent the event that says so and nothing after."""

import asyncio

import pytest

from protocol import requests
from protocol.errors import ErrorCode
from protocol.pushes import GroupMemberLeft, OneToOneChat
from testclients.client import ChatClient
from tests.e2e import frames, rest
from tests.e2e.frames import Place, chat, club, numbers, post, refusal, resume
from tests.e2e.rest import done, group_path, remove
from tests.e2e.town import Resident, Town, everything
from tests.support.loop import run
from tests.support.node import Node


async def check_left(client: ChatClient, place: Place, who: Resident, by: Resident) -> None:
    """The connection hears of a leaving; what came before is taken too."""
    while not isinstance(event := await client.next_push(), GroupMemberLeft):
        pass
    assert (event.group_id, event.username, event.by) == (place.id, who.name, by.name)


def test_every_open_socket_hears_of_it_and_of_nothing_more(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.settle_all("ann", "ben", "cat")
            admin, member = await town.connect_all(ann, cat)
            phone, laptop = await town.connect_all(ben, ben)
            place = await club(admin, member, phone)
            posted = await post(member, place, "while ben is here")
            await remove(town, ann, place, ben)
            for client in (admin, member, phone, laptop):
                await check_left(client, place, ben, by=ann)
            # Everything that makes an event or a hint, then something that ben is to hear.
            later = await post(member, place, "after")
            await frames.edit(member, place, posted.id, "edited")
            await frames.react(admin, place, posted.id, "👍")
            await frames.typing(member, place)
            await frames.mark_read(member, place, later.seq)
            await frames.delete(admin, place, posted.id)
            await done(town, "PATCH", group_path(place), ann, {"name": "without ben"})
            await rest.change_role(town, ann, place, cat, "ADMIN")
            await post(admin, chat(ann, ben), "sorry")
            for client in (phone, laptop):
                assert isinstance(await client.next_push(), OneToOneChat)
                assert await everything(client) == []
            # And what it asks for is refused, on the sockets that were open.
            for request in (
                frames.posting(phone, place, "let me in"),
                requests.GetGroupChatHistory(group_id=place.id),
                requests.Typing(group_id=place.id, is_typing=True),
                requests.Ack(group_id=place.id, seq=1),
                requests.EditMessage(group_id=place.id, id=later.id, content="x"),
                requests.React(group_id=place.id, id=later.id, emoji="👍"),
                requests.LeaveGroup(group_id=place.id),
                requests.JoinGroup(group_id=place.id),
            ):
                assert await refusal(laptop, request) is ErrorCode.NOT_A_MEMBER
            for client in (phone, await town.connect(ben, resumes=True)):
                came, errors = await resume(client, {place.id: 0})
                assert (came, errors) == ([], {place.id: ErrorCode.NOT_A_MEMBER})
                assert (await client.init_data()).groups == []

    run(main())


@pytest.mark.parametrize("how", ["leaves by REST", "leaves by a frame"])
def test_who_leaves_hears_of_it_on_its_other_connections(how: str, node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            admin, phone, laptop = await town.connect_all(ann, ben, ben)
            place = await club(admin, phone)
            if how == "leaves by REST":
                await remove(town, ben, place, ben)
                await check_left(phone, place, ben, by=ben)
            else:
                await phone.leave_group(place.id)
            for client in (admin, laptop):
                await check_left(client, place, ben, by=ben)
            await post(admin, place, "alone")
            await post(admin, chat(ann, ben), "together")
            for client in (phone, laptop):
                assert isinstance(await client.next_push(), OneToOneChat)

    run(main())


def test_who_comes_back_reads_from_its_return_on(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            admin, phone = await town.connect_all(ann, ben)
            place = await club(admin, phone)
            await post(admin, place, "first")
            await remove(town, ann, place, ben)
            secret = await post(admin, place, "without ben")
            await rest.add(town, ann, place, ben)
            await post(admin, place, "welcome back")
            await check_left(phone, place, ben, by=ann)
            came = [await phone.next_push() for _ in range(2)]
            assert numbers(came, place) == [5, 6]
            # A client that kept its position from before is sent nothing of the time between.
            late = await town.connect(ben, resumes=True)
            came, _ = await resume(late, {place.id: 2})
            assert numbers(came, place) == [5, 6]
            page = await frames.history(late, place)
            assert [message.content for message in page.messages] == ["welcome back"]
            for request in (
                requests.React(group_id=place.id, id=secret.id, emoji="👍"),
                requests.EditMessage(group_id=place.id, id=secret.id, content="x"),
                requests.DeleteMessage(group_id=place.id, id=secret.id),
            ):
                assert await refusal(late, request) is ErrorCode.NO_SUCH_MESSAGE

    run(main())


def test_under_load_nothing_follows_the_removal(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, *others = await town.settle_all("ann", "ben", "cat", "dan", "eve")
            admin, *writers = await town.connect_all(ann, *others)
            removed = await town.connect_all(ben, ben, ben)
            place = await club(admin, *writers, removed[0])
            behind = await town.connect(ben, resumes=True)
            going_on = True

            async def pour(writer: ChatClient) -> None:
                while going_on:
                    await post(writer, place, "x")
                    writer.take_all()

            pouring = asyncio.gather(*map(pour, writers))
            for round_ in range(5):
                resuming = asyncio.create_task(resume(behind, {place.id: round_}))
                await remove(town, ann, place, ben)
                for client in removed:
                    await check_left(client, place, ben, by=ann)
                came, errors = await resuming
                assert not errors or errors == {place.id: ErrorCode.NOT_A_MEMBER}
                await post(admin, chat(ann, ben), "still here?")
                for client in removed:
                    push = await client.next_push()
                    assert isinstance(push, OneToOneChat), "nothing of the group"
                await rest.add(town, ann, place, ben)
            going_on = False
            await pouring
            await behind.abort()

    run(main())
