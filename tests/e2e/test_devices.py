"""One user, many connections: the one that sends has the ack, every other has the frame."""

import asyncio

from protocol import requests
from protocol.pushes import (
    GroupChat,
    GroupCreated,
    GroupMemberJoined,
    GroupMemberLeft,
    OneToOneChat,
    Success,
)
from testclients import http
from tests.e2e.town import PASSWORD, Town, contents, everything
from tests.support.loop import run
from tests.support.node import Node


def test_every_other_connection_of_both_gets_the_frame(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            second = await http.login(node.http_url, ann.name, PASSWORD)
            # Two connections of one device, one of another: all are different connections.
            phones = [
                await town.connect(ann),
                await town.connect(ann),
                await town.connect(ann, token=second.token),
            ]
            bens = [await town.connect(ben) for _ in range(3)]
            assert len({client.info.connection_id for client in phones + bens}) == 6
            for number, sender in enumerate(phones):
                ack = await sender.send_direct(ben.name, f"from {number}")
                for client in [*phones, *bens]:
                    if client is not sender:
                        push = await client.next_push(OneToOneChat)
                        assert (push.id, push.seq) == (ack.id, number + 1)
                        assert (push.from_, push.to) == (ann.name, ben.name)
                assert await everything(sender) == []

    run(main())


def test_the_same_in_a_group(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            phone, laptop = [await town.connect(ann) for _ in range(2)]
            bens = [await town.connect(ben) for _ in range(2)]
            made = await phone.create_group("club", open=True)
            assert made.group_id is not None
            assert (await laptop.next_push(GroupCreated)).group_id == made.group_id
            joined = await bens[0].join_group(made.group_id)
            for client in (phone, laptop, bens[1]):
                assert (await client.next_push(GroupMemberJoined)).seq == joined.seq
            ack = await bens[1].send_group(made.group_id, "hi")
            for client in (phone, laptop, bens[0]):
                assert (await client.next_push(GroupChat)).id == ack.id
            left = await bens[1].leave_group(made.group_id)
            for client in (phone, laptop, bens[0]):
                assert (await client.next_push(GroupMemberLeft)).seq == left.seq
            await phone.send_group(made.group_id, "alone")
            assert contents(await everything(laptop)) == ["alone"]
            for client in (phone, *bens):
                assert await everything(client) == []

    run(main())


def test_a_connection_that_sends_much_sees_the_others_between_its_acks(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            senders = [await town.connect(ann) for _ in range(3)] + [await town.connect(ben)]
            peers = {ann.name: ben.name, ben.name: ann.name}
            for number in range(100):
                for index, client in enumerate(senders):
                    await client.send(
                        requests.OneToOneChat(
                            ref=f"{number}", to=peers[client.user], content=f"{index} {number}"
                        )
                    )

            async def collect(index: int) -> None:
                acked: list[int] = []
                seen: list[int] = []
                while len(acked) + len(seen) < 400:
                    frame = await senders[index].next_push()
                    if isinstance(frame, Success):
                        assert frame.seq is not None
                        acked.append(frame.seq)
                    elif isinstance(frame, OneToOneChat):
                        assert not frame.content.startswith(f"{index} "), (
                            "one's own by this connection"
                        )
                        seen.append(frame.seq)
                assert len(acked) == 100
                assert acked == sorted(acked)
                assert seen == sorted(seen), "events never overtake each other"
                assert sorted(acked + seen) == list(range(1, 401))

            await asyncio.gather(*(collect(index) for index in range(4)))

    run(main())
