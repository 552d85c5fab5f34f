"""Two nodes, no fault: what one takes, the other tells; each user is wherever it likes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

import pytest

from protocol.pushes import (
    DeliveryReceipt,
    GroupChat,
    GroupCreated,
    GroupMemberJoined,
    GroupMemberLeft,
    MessageDeleted,
    MessageEdited,
    OneToOneChat,
    Reaction,
    ReadReceipt,
    ServerFrame,
    Success,
    Typing,
)
from testclients.client import ChatClient
from tests.e2e import frames
from tests.e2e.frames import Place, chat, club, history, names, numbers, post, resume
from tests.e2e.rest import add, remove
from tests.e2e.town import Resident, Town, contents, everything, seqs, take
from tests.support.backends import Backends
from tests.support.loop import run
from tests.support.node import Node
from tests.support.nodes_together import nodes_together

pytestmark = pytest.mark.slow
SECONDS: Final = 60.0
SOON: Final = 20.0
"""For what takes milliseconds on a machine that is not busy."""
WRITERS: Final = 3
POSTS: Final = 40


@pytest.fixture(scope="module")
def both(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    with nodes_together(tmp_path_factory.mktemp("both"), backends, [{}, {}]) as nodes:
        yield nodes
        assert [node.complaints for node in nodes] == [[], []]


@asynccontextmanager
async def towns(both: list[Node]) -> AsyncIterator[tuple[Town, Town]]:
    async with Town(both[0]) as here, Town(both[1]) as there:
        yield here, there


@pytest.mark.parametrize("kind", ["direct", "group"])
def test_who_types_is_seen_on_the_other_node(kind: str, both: list[Node]) -> None:
    async def main() -> None:
        async with towns(both) as (here, there):
            ann, ben = await here.settle_all("ann", "ben")
            phone, reader = await here.connect(ann), await there.connect(ben)
            laptop = await there.connect(ann)
            if kind == "direct":
                place = chat(ann, ben)
                await post(reader, place, "hello")
            else:
                place = await club(phone, reader)
            for is_typing in (True, False):
                await frames.typing(phone, place, is_typing)
                expected = Typing(**place._asdict(), username=ann.name, is_typing=is_typing)
                assert await reader.next_push(Typing, timeout=SOON) == expected
            # One's own other connection is not told: what comes next has come over the same way.
            await post(phone, place, "sent")
            await laptop.next_push(lambda frame: contents([frame]) == ["sent"], timeout=SOON)
            assert not [frame for frame in laptop.take_all() if isinstance(frame, Typing)]

    run(main(), seconds=SECONDS)


@pytest.mark.parametrize("kind", ["direct", "group"])
def test_receipts_reach_the_sender_and_ones_own_devices(kind: str, both: list[Node]) -> None:
    async def main() -> None:
        async with towns(both) as (here, there):
            ann, ben = await here.settle_all("ann", "ben")
            writer = await here.connect(ann)
            reader, other_device = await there.connect(ben), await here.connect(ben)
            place = chat(ann, ben) if kind == "direct" else await club(writer, reader)
            posted = [await post(writer, place, text) for text in ("one", "two")]
            for message in posted:
                await reader.next_push(names(message.id), timeout=SOON)
            where = place._asdict()
            await frames.ack(reader, place, posted[0].seq)
            delivered = DeliveryReceipt(**where, username=ben.name, seq=posted[0].seq)
            await frames.mark_read(reader, place, posted[1].seq)
            read = ReadReceipt(**where, username=ben.name, seq=posted[1].seq)
            for client in (writer, other_device):
                assert await client.next_push(DeliveryReceipt, timeout=SOON) == delivered
                assert await client.next_push(ReadReceipt, timeout=SOON) == read
            # Told or not, whoever asks finds it, on every node.
            for client in (reader, other_device):
                data = await client.init_data()
                (mine,) = (one for some in (data.chats, data.groups) for one in some)
                assert (mine.delivered_seq, mine.read_seq, mine.unread) == (
                    posted[1].seq,
                    posted[1].seq,
                    0,
                )

    run(main(), seconds=SECONDS)


def test_resume_on_another_node_gives_what_is_lacking(both: list[Node]) -> None:
    async def main() -> None:
        async with towns(both) as (here, there):
            ann, ben, cat = await here.settle_all("ann", "ben", "cat")
            writer, away = await there.connect(ben), await here.connect(ann)
            third = await here.connect(cat)
            group = await club(writer, away, third)
            direct = chat(ann, ben)
            await post(writer, direct, "first")
            await post(third, group, "first")
            had = {
                direct.id: (await away.next_push(OneToOneChat, timeout=SOON)).seq,
                group.id: (await away.next_push(GroupChat, timeout=SOON)).seq,
            }
            await away.abort()
            for number in range(5):
                await post(writer, direct, f"{number} by ben")
                await post(writer if number % 2 else third, group, f"{number}")
            for town in (there, here):
                back = await town.connect(ann, resumes=True)
                came, errors = await resume(back, had)
                assert errors == {}
                for place in (direct, group):
                    last = had[place.id] + 5
                    assert numbers(came, place) == list(range(had[place.id] + 1, last + 1))
                live = await post(third, group, "live")
                await back.next_push(names(live.id), timeout=SOON)
                await post(writer, direct, "live")
                await back.next_push(OneToOneChat, timeout=SOON)
                await back.abort()
                had = {name: seq + 6 for name, seq in had.items()}
                for number in range(5):
                    await post(third, group, f"{number} again")
                    await post(writer, direct, f"{number} again")

    run(main(), seconds=SECONDS)


def test_who_joins_and_leaves_on_one_node_does_so_on_the_other(both: list[Node]) -> None:
    async def main() -> None:
        async with towns(both) as (here, there):
            ann, ben = await here.settle_all("ann", "ben")
            founder = await here.connect(ann)
            made = await founder.create_group("open", open=True)
            assert made.group_id is not None
            place = Place(group_id=made.group_id)
            phone, laptop = await there.connect(ben), await here.connect(ben)
            for _ in range(2):
                joined = await phone.join_group(made.group_id)
                for client in (founder, laptop):
                    frame = await client.next_push(GroupMemberJoined, timeout=SOON)
                    assert (frame.username, frame.seq) == (ben.name, joined.seq)
                said = await post(founder, place, "welcome")
                for client in (phone, laptop):
                    await client.next_push(names(said.id), timeout=SOON)
                answer = await post(phone, place, "thanks")
                for client in (founder, laptop):
                    await client.next_push(names(answer.id), timeout=SOON)
                left = await phone.leave_group(made.group_id)
                for client in (founder, laptop):
                    assert (await client.next_push(GroupMemberLeft, timeout=SOON)).seq == left.seq
                await post(founder, place, "he is gone")
            # What comes by the same way afterwards shows that nothing was on its way.
            await post(founder, chat(ann, ben), "you hear this")
            for client in (phone, laptop):
                await client.next_push(OneToOneChat, timeout=SOON)
                assert contents(await everything(client)) == []

    run(main(), seconds=SECONDS)


def test_who_is_added_and_removed_by_another_hears_it_on_its_node(both: list[Node]) -> None:
    async def main() -> None:
        async with towns(both) as (here, there):
            ann, ben, cat = await here.settle_all("ann", "ben", "cat")
            admin, member, guest = (
                await here.connect(ann),
                await there.connect(ben),
                await there.connect(cat),
            )
            place = await club(admin, member)
            for _ in range(2):
                await add(here, ann, place, cat)
                joined = await guest.next_push(GroupMemberJoined, timeout=SOON)
                assert joined.username == cat.name
                said = await post(member, place, "hello")
                await guest.next_push(names(said.id), timeout=SOON)
                await remove(here, ann, place, cat)
                left = await guest.next_push(GroupMemberLeft, timeout=SOON)
                assert left.username == cat.name
                await post(admin, place, "she is gone")
                await post(member, place, "yes")
            await post(admin, chat(ann, cat), "you hear this")
            await guest.next_push(OneToOneChat, timeout=SOON)
            assert contents(await everything(guest)) == []

    run(main(), seconds=SECONDS)


def test_everybody_is_sent_the_events_of_both_in_one_order(both: list[Node]) -> None:
    async def main() -> None:
        async with towns(both) as (here, there):
            everyone = await here.settle_all(*["member"] * (2 * WRITERS))
            clients = [
                await (here, there)[number % 2].connect(who) for number, who in enumerate(everyone)
            ]
            place = await club(*clients)
            group = place.id
            before = (await history(clients[0], place)).head_seq

            async def pour(client: ChatClient) -> list[int]:
                acks = [await post(client, place, f"{n} of {client.user}") for n in range(POSTS)]
                return [ack.seq for ack in acks]

            acked = await asyncio.gather(*map(pour, clients))
            last = before + 2 * WRITERS * POSTS
            assert sorted(sum(acked, [])) == list(range(before + 1, last + 1))
            for client, own in zip(clients, acked, strict=True):
                assert own == sorted(own), "one's posts keep their order"
                heard = await take(client, GroupChat, (2 * WRITERS - 1) * POSTS)
                expected = sorted({*range(before + 1, last + 1)} - {*own})
                assert seqs(heard, group) == expected
            pages = [(await history(client, place)).messages for client in clients[:2]]
            assert pages[0] == pages[1]

    run(main(), seconds=SECONDS)


def test_changes_made_on_one_node_are_told_and_shown_on_the_other(both: list[Node]) -> None:
    async def main() -> None:
        async with towns(both) as (here, there):
            ann, ben = await here.settle_all("ann", "ben")
            writer, reader = await here.connect(ann), await there.connect(ben)
            place = chat(ann, ben)
            one, two = [await post(writer, place, text) for text in ("one", "two")]
            for message in (one, two):
                await reader.next_push(names(message.id), timeout=SOON)
            await history(reader, place)
            await frames.edit(writer, place, one.id, "edited")
            assert (await reader.next_push(MessageEdited, timeout=SOON)).content == "edited"
            await frames.react(reader, place, one.id, "👍")
            assert (await writer.next_push(Reaction, timeout=SOON)).from_ == ben.name
            await frames.delete(writer, place, two.id)
            assert (await reader.next_push(MessageDeleted, timeout=SOON)).id == two.id
            pages = [await history(client, place) for client in (writer, reader)]
            assert pages[0].messages == pages[1].messages
            assert [message.content for message in pages[0].messages] == ["edited", ""]
            # Who comes to either node is not told what the deleted one said.
            for town in (here, there):
                back = await town.connect(ben, resumes=True)
                came, _ = await resume(back, {place.id: 0})
                assert contents(came) == ["one", ""]

    run(main(), seconds=SECONDS)


def test_a_post_repeated_on_the_other_node_is_the_same(both: list[Node]) -> None:
    async def main() -> None:
        async with towns(both) as (here, there):
            ann, ben = await here.settle_all("ann", "ben")
            # An ack that is a duplicate's may come before the event itself.
            one = await here.connect(ann, positions=None)
            other = await there.connect(ann, positions=None)
            reader = await there.connect(ben)
            await reader.send_direct(ann.name, "hello")
            first = await one.send_direct(ben.name, "once", "key")
            again = await other.send_direct(ben.name, "once", "key")
            assert (again.seq, again.id, again.duplicate) == (first.seq, first.id, True)
            at_once = await asyncio.gather(
                *(client.send_direct(ben.name, "again", "same") for client in (one, other))
            )
            assert {ack.seq for ack in at_once} == {3}
            assert sorted(ack.duplicate for ack in at_once) == [False, True]
            assert contents(await take(reader, OneToOneChat, 2)) == ["once", "again"]
            assert len((await history(reader, chat(ann, ben))).messages) == 3

    run(main(), seconds=SECONDS)


async def begins(client: ChatClient, who: Resident, kind: str) -> Success:
    """A user begins a conversation: what of it comes first."""
    if kind == "direct":
        return await client.send_direct(who.name, "hello")
    made = await client.create_group("new", [who.name])
    if kind == "group":
        return made
    assert made.group_id is not None
    return await client.send_group(made.group_id, "hello")


@pytest.mark.parametrize("kind", ["direct", "group", "group with a message"])
def test_what_a_user_begins_is_told_to_its_other_devices(kind: str, both: list[Node]) -> None:
    async def main() -> None:
        async with towns(both) as (here, there):
            ann, ben = await here.settle_all("ann", "ben")
            phone, laptop = await here.connect(ann), await there.connect(ann)
            reader = await there.connect(ben)
            begun = await begins(phone, ben, kind)
            place = Place(begun.chat_id, begun.group_id)
            await post(reader, place, "an answer")
            came: list[ServerFrame] = []
            while not contents(came[-1:]) == ["an answer"]:
                came.append(
                    await laptop.next_push(lambda frame: frames.is_in(frame, place), timeout=SOON)
                )
            first = OneToOneChat if kind == "direct" else GroupCreated
            assert isinstance(came[0], first)
            assert numbers(came, place) == list(range(1, len(came) + 1))

    run(main(), seconds=SECONDS)
