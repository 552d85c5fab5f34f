"""What came while a user was away is there when it comes back: all of it, in order, and once."""

import asyncio

from protocol import requests
from protocol.pushes import (
    GroupChat,
    GroupCreated,
    GroupMemberJoined,
    GroupMemberLeft,
    OneToOneChat,
)
from testclients.client import ChatClient
from tests.e2e.town import Resident, Town, chat_of, contents, everything, seqs, take
from tests.support.loop import run
from tests.support.node import Node


async def write(client: ChatClient, to: Resident, first: int, last: int) -> None:
    """Post "first" to "last" and await the ack of the last one."""
    for number in range(first, last):
        await client.send(requests.OneToOneChat(to=to.name, content=f"{number}"))
    await client.send_direct(to.name, f"{last}")
    client.take_all()


async def check_nothing_else(reader: ChatClient, *writers: ChatClient) -> None:
    """What comes next of the chat with each writer is a new message.

    Had anything older been owed to the connection, it would have come before.
    """
    for writer in writers:
        ack = await writer.send_direct(reader.user, "new")
        push = await reader.next_push(OneToOneChat)
        assert (push.id, push.content) == (ack.id, "new")


def test_messages_wait_for_who_is_away_and_come_once(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ben)
            acks = [await writer.send_direct(ann.name, f"{number}") for number in range(1, 4)]
            reader = await town.connect(ann)
            pushes = await take(reader, OneToOneChat, 3)
            assert [push.id for push in pushes] == [ack.id for ack in acks]
            assert [push.seq for push in pushes] == [1, 2, 3]
            assert all(push.offline for push in pushes)
            await writer.send_direct(ann.name, "live")
            assert not (await reader.next_push(OneToOneChat)).offline
            await reader.close()
            again = await town.connect(ann)
            await check_nothing_else(again, writer)
            await again.close()
            await check_nothing_else(await town.connect(ann), writer)

    run(main())


def test_after_a_connection_broke_the_same_comes_again(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ben)
            acks = [await writer.send_direct(ann.name, f"{number}") for number in range(1, 4)]
            ids = [ack.id for ack in acks]
            for _ in range(2):
                reader = await town.connect(ann)
                assert [push.id for push in await take(reader, OneToOneChat, 3)] == ids
                await reader.abort()
            live = await town.connect(ann)
            await take(live, OneToOneChat, 3)
            ids.append((await writer.send_direct(ann.name, "live")).id)
            assert (await live.next_push(OneToOneChat)).id == ids[-1]
            await live.abort()
            reader = await town.connect(ann)
            assert [push.id for push in await take(reader, OneToOneChat, 4)] == ids
            await reader.close()
            await check_nothing_else(await town.connect(ann), writer)

    run(main())


def test_disconnect_counts_as_a_clean_close(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ben)
            await write(writer, ann, 1, 3)
            reader = await town.connect(ann)
            await take(reader, OneToOneChat, 3)
            assert await reader.disconnect() == 1000
            await check_nothing_else(await town.connect(ann), writer)

    run(main())


def test_ones_own_messages_are_not_pushed_back(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            phone = await town.connect(ann)
            made = await phone.create_group("club", [ben.name])
            assert made.group_id is not None
            await phone.send_direct(ben.name, "one")
            await phone.send_group(made.group_id, "two")
            await phone.abort()
            back = await town.connect(ann)
            ben_here = await town.connect(ben)
            assert (await ben_here.next_push(OneToOneChat)).content == "one"
            assert (await ben_here.next_push(GroupChat)).content == "two"
            await check_nothing_else(back, ben_here)
            ack = await ben_here.send_group(made.group_id, "three")
            assert (await back.next_push(GroupChat)).id == ack.id

    run(main())


def test_a_thousand_messages_in_several_conversations(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.settle_all("ann", "ben", "cat")
            writers = [await town.connect(ben), await town.connect(cat)]
            made = await writers[0].create_group("club", [ann.name, cat.name])
            group = made.group_id
            assert group is not None
            await writers[1].next_push(GroupCreated)
            await write(writers[0], ann, 1, 400)
            await write(writers[1], ann, 1, 350)
            for number in range(248):
                await writers[number % 2].send(
                    requests.GroupChat(group_id=group, content=f"{number}")
                )
            for writer in writers:
                await writer.send_group(group, "the last of this connection")
            reader = await town.connect(ann)
            frames = [await reader.next_push() for _ in range(1001)]
            assert seqs(frames, chat_of(ann, ben)) == list(range(1, 401))
            assert seqs(frames, chat_of(ann, cat)) == list(range(1, 351))
            assert seqs(frames, group) == list(range(1, 252))
            assert all(getattr(frame, "offline", False) for frame in frames)
            await reader.close()
            back = await town.connect(ann)
            await check_nothing_else(back, *writers)
            ack = await writers[0].send_group(group, "new")
            assert (await back.next_push(GroupChat)).id == ack.id

    run(main())


def test_what_is_written_during_the_catch_up_follows_it(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ben)
            await write(writer, ann, 1, 1_000)
            connecting = asyncio.create_task(town.connect(ann))
            await write(writer, ann, 1_001, 2_000)
            reader = await connecting
            pushes = await take(reader, OneToOneChat, 2_000)
            assert [push.seq for push in pushes] == list(range(1, 2_001))
            assert [push.content for push in pushes] == [f"{n}" for n in range(1, 2_001)]
            flags = [push.offline for push in pushes]
            assert flags == sorted(flags, reverse=True), "first what was missed, then what is live"
            assert all(flags[:1_000])
            await check_nothing_else(reader, writer)

    run(main())


def test_one_may_write_during_ones_own_catch_up(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ben)
            await write(writer, ann, 1, 1_000)
            reader = await town.connect(ann)
            acks = [await reader.send_direct(ben.name, f"answer {n}") for n in range(20)]
            pushes = await take(reader, OneToOneChat, 1_000)
            assert [push.seq for push in pushes] == list(range(1, 1_001))
            assert [ack.seq for ack in acks] == list(range(1_001, 1_021))
            assert contents(await everything(writer)) == [f"answer {n}" for n in range(20)]

    run(main())


def test_changes_of_groups_wait_too(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.settle_all("ann", "ben", "cat")
            ben_here, cat_here = await town.connect(ben), await town.connect(cat)
            made = await ben_here.create_group("club", [ann.name], open=True)
            group = made.group_id
            assert group is not None
            await cat_here.join_group(group)
            await cat_here.send_group(group, "hello")
            await cat_here.leave_group(group)
            reader = await town.connect(ann)
            created = await reader.next_push(GroupCreated)
            joined = await reader.next_push(GroupMemberJoined)
            said = await reader.next_push(GroupChat)
            left = await reader.next_push(GroupMemberLeft)
            assert [created.seq, joined.seq, said.seq, left.seq] == [1, 2, 3, 4]
            assert created.offline and joined.offline and said.offline and left.offline
            assert (joined.username, left.username) == (cat.name, cat.name)

    run(main())


def test_who_left_is_sent_nothing_more_of_the_group(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            ben_here, ann_here = await town.connect(ben), await town.connect(ann)
            made = await ben_here.create_group("club", [ann.name], open=True)
            assert made.group_id is not None
            await ann_here.next_push(GroupCreated)
            await ann_here.leave_group(made.group_id)
            await ann_here.abort()
            await ben_here.send_group(made.group_id, "not for ann")
            back = await town.connect(ann)
            await back.join_group(made.group_id)
            await ben_here.send_group(made.group_id, "for ann again")
            assert (await back.next_push(GroupChat)).content == "for ann again"

    run(main())


def test_all_of_it_waits_through_a_restart(node: Node) -> None:
    async def before(ann: Resident, ben: Resident) -> list[str | None]:
        async with Town(node) as town:
            writer = await town.connect(ben)
            ids = [(await writer.send_direct(ann.name, f"{n}")).id for n in range(1, 6)]
            reader = await town.connect(ann)
            await take(reader, OneToOneChat, 5)
            await reader.close()
            return ids + [(await writer.send_direct(ann.name, f"{n}")).id for n in range(6, 9)]

    async def after(ann: Resident, ben: Resident, ids: list[str | None]) -> None:
        async with Town(node) as town:
            reader = await town.connect(ann)
            pushes = await take(reader, OneToOneChat, 3)
            assert [push.id for push in pushes] == ids[5:], "the clean close was remembered"
            writer = await town.connect(ben)
            ack = await writer.send_direct(ann.name, "9")
            assert ack.seq == 9
            assert (await reader.next_push(OneToOneChat)).seq == 9

    async def settle() -> list[Resident]:
        return await Town(node).settle_all("ann", "ben")

    ann, ben = run(settle())
    ids = run(before(ann, ben))
    assert node.stop() == 0
    node.start()
    run(after(ann, ben, ids))
