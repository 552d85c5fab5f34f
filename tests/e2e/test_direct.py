"""Two users write to each other: who is sent what, with which numbers and ids."""

import time

import pytest

from protocol import requests
from protocol.errors import ErrorCode
from protocol.pushes import OneToOneChat, Success
from testclients.errors import RequestFailed
from tests.e2e.town import Resident, Town, chat_of, contents, everything, take
from tests.support.loop import run
from tests.support.node import Node


def test_the_ack_and_the_frame_tell_the_same(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            before = time.time_ns() // 1_000_000
            first = await ann.request(
                requests.OneToOneChat(
                    ref="r-1",
                    from_=ann.user,
                    to=ben.user,
                    content="hi \U0001f44b",
                    chat_id=chat_of(ann, ben),
                )
            )
            assert isinstance(first, Success)
            assert (first.ref, first.chat_id) == ("r-1", chat_of(ann, ben))
            assert (first.seq, first.prev) == (1, 0)
            assert (first.client_msg_id, first.duplicate, first.group_id) == (None, False, None)
            assert first.id and len(first.id) <= 110 and "~" not in first.id
            assert first.sent_at is not None
            assert before <= first.sent_at <= time.time_ns() // 1_000_000
            assert await ben.next_push(OneToOneChat) == OneToOneChat(
                id=first.id,
                seq=1,
                prev=0,
                chat_id=chat_of(ann, ben),
                from_=ann.user,
                to=ben.user,
                content="hi \U0001f44b",
                sent_at=first.sent_at,
            )
            answer = await ben.send_direct(ann.user, "hello")
            assert (answer.seq, answer.prev, answer.chat_id) == (2, 1, chat_of(ann, ben))
            assert answer.id != first.id
            push = await ann.next_push(OneToOneChat)
            assert (push.id, push.seq, push.prev) == (answer.id, 2, 1)
            assert (push.from_, push.to) == (ben.user, ann.user)
            assert await everything(ann) == []
            assert await everything(ben) == []

    run(main())


def test_every_field_of_a_message_arrives(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            first = await ann.send_direct(ben.user, "first")
            await ann.request(
                requests.OneToOneChat(
                    to=ben.user,
                    content='"second"\n\ttab \\ \u2028 \U0001f468\u200d\U0001f469',
                    client_msg_id="key 1",
                    reply_to=first.id,
                    mentions=[ben.user, ann.user],
                )
            )
            _, push = await take(ben, OneToOneChat, 2)
            assert push.content == '"second"\n\ttab \\ \u2028 \U0001f468\u200d\U0001f469'
            assert push.client_msg_id == "key 1"
            assert push.reply_to == first.id
            assert push.mentions == [ben.user, ann.user]
            (_, kept) = (await ann.history_direct(ben.user)).messages
            assert (kept.client_msg_id, kept.reply_to, kept.mentions) == (
                "key 1",
                first.id,
                [ben.user, ann.user],
            )

    run(main())


def test_conversations_are_numbered_apart_and_third_ones_hear_nothing(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.online("ann", "ben", "cat")
            acks = [
                await ann.send_direct(ben.user, "to ben"),
                await ann.send_direct(cat.user, "to cat"),
                await ann.send_direct(ben.user, "to ben again"),
            ]
            assert [ack.seq for ack in acks] == [1, 1, 2]
            assert len({ack.id for ack in acks}) == 3
            assert contents(await everything(ben)) == ["to ben", "to ben again"]
            assert contents(await everything(cat)) == ["to cat"]

    run(main())


def test_a_message_sent_again_is_answered_again_and_stored_once(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            first = await ann.send_direct(ben.user, "once", "key")
            assert (first.client_msg_id, first.duplicate) == ("key", False)
            again = await ann.send_direct(ben.user, "once", "key")
            assert again.duplicate
            assert (again.id, again.seq, again.sent_at) == (first.id, first.seq, first.sent_at)
            with pytest.raises(RequestFailed) as reused:
                await ann.send_direct(ben.user, "something else", "key")
            assert reused.value.code is ErrorCode.CLIENT_MSG_ID_REUSED
            # The id belongs to the sender and the conversation.
            assert not (await ben.send_direct(ann.user, "mine", "key")).duplicate
            assert contents(await everything(ben)) == ["once"]
            assert contents(await everything(ann)) == ["mine"]
            page = await ann.history_direct(ben.user)
            assert [(kept.seq, kept.content) for kept in page.messages] == [
                (1, "once"),
                (2, "mine"),
            ]

    run(main())


def test_the_same_message_many_times_in_one_packet_is_stored_once(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            for number in range(50):
                await ann.send(
                    requests.OneToOneChat(
                        ref=f"r{number}", to=ben.user, content="again", client_msg_id="key"
                    )
                )
            acks = await take(ann, Success, 50)
            assert [ack.ref for ack in acks] == [f"r{number}" for number in range(50)]
            assert [ack.duplicate for ack in acks] == [False] + [True] * 49
            assert len({(ack.id, ack.seq) for ack in acks}) == 1
            assert contents(await everything(ben)) == ["again"]

    run(main())


def test_acks_keep_the_order_of_the_sends(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            for number in range(600):
                await ann.send(
                    requests.OneToOneChat(ref=f"r{number}", to=ben.user, content=f"{number}")
                )
            acks = await take(ann, Success, 600)
            assert [ack.ref for ack in acks] == [f"r{number}" for number in range(600)]
            assert [ack.seq for ack in acks] == list(range(1, 601))
            frames = await take(ben, OneToOneChat, 600)
            assert [frame.content for frame in frames] == [f"{number}" for number in range(600)]
            assert [frame.id for frame in frames] == [ack.id for ack in acks]

    run(main())


def test_a_repeat_is_known_after_a_restart(node: Node) -> None:
    async def before() -> tuple[list[Resident], list[Success]]:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            client = await town.connect(ann)
            made = await client.create_group("club", [ben.name])
            assert made.group_id is not None
            acks = [
                await client.send_direct(ben.name, "once", "key"),
                await client.send_group(made.group_id, "once", "key"),
            ]
            return [ann, ben], acks

    async def after(ann: Resident, ben: Resident, acks: list[Success]) -> None:
        async with Town(node) as town:
            client = await town.connect(ann)
            group = acks[1].group_id
            assert group is not None
            again = [
                await client.send_direct(ben.name, "once", "key"),
                await client.send_group(group, "once", "key"),
            ]
            for first, second in zip(acks, again, strict=True):
                assert second.duplicate
                assert (second.id, second.seq, second.sent_at) == (
                    first.id,
                    first.seq,
                    first.sent_at,
                )
            for send, to in ((client.send_direct, ben.name), (client.send_group, group)):
                with pytest.raises(RequestFailed) as reused:
                    await send(to, "twice", "key")
                assert reused.value.code is ErrorCode.CLIENT_MSG_ID_REUSED
            assert (await client.history_direct(ben.name)).head_seq == 1
            assert (await client.history_group(group)).head_seq == 2

    (ann, ben), acks = run(before())
    assert node.stop() == 0
    node.start()
    run(after(ann, ben, acks))
