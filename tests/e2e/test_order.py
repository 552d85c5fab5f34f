"""Many write at once: every connection is sent every number, in order, each message the same."""

import asyncio
from collections.abc import Sequence

from protocol import requests
from protocol.pushes import GroupChat, OneToOneChat, Success
from testclients.client import ChatClient
from tests.e2e.town import Town
from tests.support.loop import run
from tests.support.node import Node


async def follow(client: ChatClient, first: int, last: int) -> dict[int, str]:
    """The messages from one number to another: ids by number, others' as sent, own as acked."""
    ids: dict[int, str] = {}
    previous = first - 1
    while len(ids) <= last - first:
        frame = await client.next_push()
        if isinstance(frame, Success):
            assert frame.seq is not None and frame.id is not None
            ids[frame.seq] = frame.id
        elif isinstance(frame, GroupChat | OneToOneChat):
            assert frame.seq > previous and frame.prev == frame.seq - 1
            previous = frame.seq
            ids[frame.seq] = frame.id
    assert sorted(ids) == list(range(first, last + 1))
    return ids


async def write(client: ChatClient, conversations: Sequence[str], number: int) -> None:
    for turn in range(number):
        for group in conversations:
            content = f"{client.user} {turn}"
            await client.send(requests.GroupChat(group_id=group, content=content, ref=str(turn)))


def test_many_senders_in_a_group(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            writers = await town.online(*(["writer"] * 12))
            readers = await town.online("reader", "reader")
            names = [client.user for client in [*writers[1:], *readers]]
            made = await writers[0].create_group("busy", names)
            assert made.group_id is not None
            group = made.group_id
            _, results = await asyncio.gather(
                asyncio.gather(*(write(client, [group], 50) for client in writers)),
                asyncio.gather(*(follow(client, 2, 601) for client in [*writers, *readers])),
            )
            assert all(ids == results[0] for ids in results), "the same to everybody"

            told: list[tuple[int, str]] = []
            after = 1
            while len(told) < 600:
                page = await readers[0].history_group(group, after=after, limit=200)
                told += [(message.seq, message.id) for message in page.messages]
                after = told[-1][0]
            assert dict(told) == results[0]
            turns: dict[str, int] = {}
            for message in (await readers[0].history_group(group, limit=200)).messages:
                name, turn = message.content.split()
                assert turns.setdefault(name, int(turn)) <= int(turn), "a sender's order is kept"
                turns[name] = int(turn)

    run(main())


def test_several_busy_conversations_at_once(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            clients = await town.online(*(["writer"] * 4))
            names = [client.user for client in clients[1:]]
            groups: list[str] = []
            for number in range(5):
                made = await clients[0].create_group(f"busy {number}", names)
                assert made.group_id is not None
                groups.append(made.group_id)
            for client in clients:
                await client.ping()
                client.take_all()

            async def follow_all(client: ChatClient) -> None:
                last = dict.fromkeys(groups, 1)
                acked: dict[str, set[int]] = {group: set() for group in groups}
                missing = 5 * 4 * 30
                while missing:
                    frame = await client.next_push()
                    if isinstance(frame, Success):
                        assert frame.group_id is not None and frame.seq is not None
                        acked[frame.group_id].add(frame.seq)
                        missing -= 1
                    elif isinstance(frame, GroupChat):
                        between = set(range(last[frame.group_id] + 1, frame.seq))
                        assert between <= acked[frame.group_id], "only one's own are left out"
                        last[frame.group_id] = frame.seq
                        missing -= 1

            await asyncio.gather(
                *(write(client, groups, 30) for client in clients),
                *(follow_all(client) for client in clients),
            )

    run(main())
