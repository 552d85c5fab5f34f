"""The same thing done by many at once: one of them does it, and everybody hears of it once."""

import asyncio
from collections import Counter

import pytest

from protocol import requests
from protocol.errors import ErrorCode
from protocol.pushes import (
    DeliveryReceipt,
    MessageDeleted,
    MessageEdited,
    Reaction,
    ServerFrame,
    Success,
)
from testclients.client import ChatClient
from testclients.errors import RequestFailed
from tests.e2e import frames, rest
from tests.e2e.frames import chat, club, history, post
from tests.e2e.rest import done, group_path
from tests.e2e.town import Town, everything
from tests.support.loop import run
from tests.support.node import Node

AT_ONCE = 8


async def all_at_once(
    clients: list[ChatClient], request: requests.Request
) -> tuple[list[Success], Counter[ErrorCode]]:
    """The same request on every connection: what was granted, and the codes of the others."""
    replies = await asyncio.gather(
        *(client.request(request) for client in clients), return_exceptions=True
    )
    granted = [reply for reply in replies if isinstance(reply, Success)]
    refused = [reply for reply in replies if isinstance(reply, RequestFailed)]
    assert len(granted) + len(refused) == len(clients), replies
    return granted, Counter(error.code for error in refused)


async def heard(client: ChatClient, kind: type[ServerFrame]) -> int:
    return len([frame for frame in await everything(client) if isinstance(frame, kind)])


def test_of_edits_of_one_version_one_is_made(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            devices = [await town.connect(ann) for _ in range(AT_ONCE)]
            reader = await town.connect(ben)
            place = await club(devices[0], reader)
            posted = await post(devices[0], place, "hello")
            for version in (1, 2, 3):
                request = requests.EditMessage(
                    **place._asdict(), id=posted.id, content=f"{version}", version=version
                )
                granted, codes = await all_at_once(devices, request)
                assert [reply.version for reply in granted] == [version + 1]
                assert codes == {ErrorCode.VERSION_CONFLICT: AT_ONCE - 1}
                assert await heard(reader, MessageEdited) == 1

    run(main())


def test_of_the_same_reaction_or_deletion_one_is_an_event(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            # Who repeats what another did gets the ack of it and the event.
            devices = [await town.connect(ann, positions=None) for _ in range(AT_ONCE)]
            reader = await town.connect(ben)
            place = await club(devices[0], reader)
            posted = await post(devices[0], place, "hello")
            for request, kind in (
                (requests.React(**place._asdict(), id=posted.id, emoji="👍"), Reaction),
                (
                    requests.React(**place._asdict(), id=posted.id, emoji="👍", remove=True),
                    Reaction,
                ),
                (requests.DeleteMessage(**place._asdict(), id=posted.id), MessageDeleted),
            ):
                granted, codes = await all_at_once(devices, request)
                assert not codes
                assert Counter(reply.duplicate for reply in granted) == {
                    False: 1,
                    True: AT_ONCE - 1,
                }
                assert await heard(reader, kind) == 1
            assert (await history(reader, place)).head_seq == posted.seq + 3

    run(main())


@pytest.mark.parametrize("how", ["give up their role", "leave"])
def test_of_all_admins_who_go_at_once_one_stays(how: str, node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            people = await town.settle_all(*["admin"] * 4, "member")
            clients = await town.connect_all(*people)
            place = await club(*clients)
            for who in people[1:4]:
                await rest.change_role(town, people[0], place, who, "ADMIN")

            async def go(index: int) -> str:
                who = people[index]
                path = group_path(place, "members", who.name)
                if how == "leave":
                    reply = await rest.rest(town, "DELETE", path, who)
                else:
                    reply = await rest.rest(town, "PATCH", path, who, {"role": "MEMBER"})
                return reply.json["code"] if reply.status >= 400 else "done"

            outcomes = Counter(await asyncio.gather(*map(go, range(4))))
            assert outcomes == {"done": 3, "LAST_ADMIN": 1}
            page = await done(town, "GET", group_path(place, "members"), people[4])
            assert [one["role"] for one in page["members"]].count("ADMIN") == 1

    run(main())


def test_of_those_who_add_the_same_user_one_does(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            admin, added = await town.connect_all(ann, ben)
            place = await club(admin)
            path, body = group_path(place, "members"), {"username": ben.name}
            replies = await asyncio.gather(
                *(rest.rest(town, "POST", path, ann, body) for _ in range(AT_ONCE))
            )
            assert Counter(reply.status for reply in replies) == {201: 1, 409: AT_ONCE - 1}
            live = await post(admin, place, "welcome")
            assert frames.numbers(await everything(added), place) == [2, live.seq]

    run(main())


def test_cursors_that_move_at_once_end_at_the_highest(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            devices = [await town.connect(ann) for _ in range(4)]
            writer = await town.connect(ben)
            place = chat(ann, ben)
            for _ in range(200):
                await writer.send(frames.posting(writer, place, "x"))
            await post(writer, place, "last")
            for number in range(200):
                for index, device in enumerate(devices):
                    seq = (number * 37 + index * 11) % 201 + 1
                    await device.send(requests.Ack(chat_id=place.chat_id, seq=seq))
            for device in devices:
                await frames.ack(device, place, 0)
            assert (await devices[0].init_data()).chats[0].delivered_seq == 201
            told = [
                frame.seq
                for frame in await everything(writer)
                if isinstance(frame, DeliveryReceipt)
            ]
            assert told == sorted(set(told)), "only forward"
            assert told[-1] == 201

    run(main())


def test_after_a_block_nothing_that_was_sent_before_is_let_through(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            reader, writer = await town.connect_all(ann, ben)
            place = chat(ann, ben)
            await post(writer, place, "hello")
            last_acked = 1

            async def pour() -> ErrorCode:
                nonlocal last_acked
                try:
                    while True:
                        last_acked = (await post(writer, place, "and another thing")).seq
                except RequestFailed as error:
                    return error.code

            pouring = asyncio.create_task(pour())
            await rest.block(town, ann, ben)
            # What is not refused by now was committed before.
            head = (await history(reader, place)).head_seq
            assert await pouring is ErrorCode.BLOCKED
            assert last_acked <= head == (await history(reader, place)).head_seq

    run(main())
