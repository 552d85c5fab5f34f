"""What moves cursors without ACK, what is unread by them, and who is told in a big group."""

import asyncio
from typing import Final

from protocol import requests
from protocol.pushes import (
    DeliveryReceipt,
    GroupChat,
    OneToOneChat,
    ReadReceipt,
    Receipt,
)
from testclients.client import ChatClient
from tests.e2e import frames
from tests.e2e.frames import Place, ack, chat, club, mark_read, post
from tests.e2e.test_receipts import cursors, delivered, peer_cursors, summary
from tests.e2e.town import Town, everything, take
from tests.support.loop import run
from tests.support.node import Node

CROWD: Final = 60


def test_a_clean_close_delivers_what_was_sent(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            reader, writer = await town.connect_all(ann, ben)
            direct, group = chat(ann, ben), await club(writer, reader)
            for _ in range(3):
                await post(writer, direct, "hello")
                await post(writer, group, "hello")
            await take(reader, GroupChat, 3)
            await reader.close()
            heard = {await writer.next_push(DeliveryReceipt) for _ in range(2)}
            assert heard == {delivered(direct, ann, 3), delivered(group, ann, 4)}
            assert await peer_cursors(writer, direct) == (3, 0), "delivered is not read"
            back = await town.connect(ann)
            assert await cursors(back, direct) == (3, 0)
            assert await cursors(back, group) == (4, 0)
            # One's own posts count as delivered.
            await post(back, direct, "hi")
            await back.close()
            assert await writer.next_push(DeliveryReceipt) == delivered(direct, ann, 4)

    run(main())


def test_what_is_caught_up_with_is_delivered_too(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ben)
            place = chat(ann, ben)
            for _ in range(3):
                await post(writer, place, "hello")
            for resumes in (True, False):
                reader = await town.connect(ann, resumes=resumes)
                if resumes:
                    await frames.resume(reader, {place.id: 1})
                else:
                    await reader.next_push(OneToOneChat)
                await reader.close()
                assert await writer.next_push() == delivered(place, ann, 3 if resumes else 4)
                await post(writer, place, "more")

    run(main())


def test_a_connection_that_breaks_delivers_nothing(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            reader, writer = await town.connect_all(ann, ben)
            place = chat(ann, ben)
            await post(writer, place, "hello")
            await reader.next_push(OneToOneChat)
            await reader.abort()
            reader = await town.connect(ann)
            await reader.next_push(OneToOneChat)
            assert await peer_cursors(writer, place) == (0, 0)
            await ack(reader, place, 1)
            assert await writer.next_push() == delivered(place, ann, 1), "the first that is heard"

    run(main())


def test_once_it_has_sent_an_ack_only_acks_count_for_a_connection(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            acking, writer = await town.connect_all(ann, ben)
            place = chat(ann, ben)
            for _ in range(3):
                await post(writer, place, "hello")
            await take(acking, OneToOneChat, 3)
            await ack(acking, place, 1)
            await acking.close()
            # Another connection has sent none: its clean close counts. MARK_READ is no ACK.
            reading = await town.connect(ann)
            await take(reading, OneToOneChat, 2)
            await mark_read(reading, place, 2)
            assert await peer_cursors(writer, place) == (2, 2)
            await reading.close()
            heard = [await writer.next_push() for _ in range(3)]
            assert heard == [
                delivered(place, ann, 1),
                ReadReceipt(**place._asdict(), username=ann.name, seq=2),
                delivered(place, ann, 3),
            ]

    run(main())


def test_unread_is_what_others_wrote_after_the_read_cursor(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            reader, writer = await town.connect_all(ann, ben)
            for place in (chat(ann, ben), await club(writer, reader, open=True)):

                async def unread(client: ChatClient, place: Place = place) -> int | str:
                    return (await summary(client, place)).unread

                posted = [await post(writer, place, f"{number}") for number in range(6)]
                assert (await unread(reader), await unread(writer)) == (6, 0)
                await ack(reader, place, posted[5].seq)
                assert await unread(reader) == 6, "received is not read"
                await mark_read(reader, place, posted[1].seq)
                assert await unread(reader) == 4
                for gone in (0, 2, 4):
                    await frames.delete(writer, place, posted[gone].id)
                assert await unread(reader) == 2, "what was deleted need not be read"
                await frames.edit(writer, place, posted[5].id, "edited")
                await frames.react(writer, place, posted[5].id, "👍")
                await post(reader, place, "my own")
                assert (await unread(reader), await unread(writer)) == (2, 1)
                await mark_read(reader, place, posted[5].seq)
                assert await unread(reader) == 0
                for _ in range(101):
                    await writer.send(frames.posting(writer, place, "flood"))
                await writer.ping()
                last = await post(writer, place, "the last")
                assert await unread(reader) == "100+"
                await mark_read(reader, place, last.seq - 100)
                assert await unread(reader) == 100

    run(main())


def test_in_a_big_group_receipts_come_together(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            residents = await town.settle_all(*["member"] * CROWD)
            clients = await town.connect_all(*residents)
            writer, other, *readers = clients
            place = await club(*clients)
            for client in (writer, other):
                last = (await post(client, place, "hello")).seq
            tablet = await town.connect(residents[2])
            clock = asyncio.get_running_loop().time
            start = clock()
            # One has only what the writer posted, the others have all.
            for kind in (requests.Ack, requests.MarkRead):
                await asyncio.gather(
                    *(
                        frames.ask(
                            reader, kind(group_id=place.group_id, seq=last - (reader is readers[0]))
                        )
                        for reader in readers
                    )
                )
            for client, least in ((writer, len(readers)), (other, len(readers) - 1)):
                for push in (DeliveryReceipt, ReadReceipt):
                    heard: list[Receipt] = []
                    while sum(1 + (one.others or 0) for one in heard) < least:
                        heard.append(await client.next_push(push))
                    assert sum(1 + (one.others or 0) for one in heard) <= len(readers)
                    assert len(heard) <= 2 + clock() - start, "one a second"
                    for one in heard:
                        assert (one.group_id, one.chat_id) == (place.group_id, None)
                        assert one.username in {reader.user for reader in readers}
                        furthest = one.username != readers[0].user
                        assert one.seq == (last if furthest else last - 1)
                        assert furthest or not one.others
            # A user's own other connections hear of its own moves, each.
            assert [frame for frame in await everything(tablet) if isinstance(frame, Receipt)] == [
                DeliveryReceipt(**place._asdict(), username=residents[2].name, seq=last - 1),
                ReadReceipt(**place._asdict(), username=residents[2].name, seq=last - 1),
            ]
            for reader in readers:
                assert not [one for one in await everything(reader) if isinstance(one, Receipt)]

    run(main())
