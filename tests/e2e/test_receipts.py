"""ACK and MARK_READ: how far a user is, kept for all its devices, told to those who wait for it."""

import pytest

from protocol import requests
from protocol.errors import ErrorCode
from protocol.model import ChatSummary, GroupSummary
from protocol.pushes import (
    DeliveryReceipt,
    OneToOneChat,
    OneToOneChatHistory,
    ReadReceipt,
    Receipt,
    Success,
)
from testclients.client import ChatClient
from tests.e2e import frames
from tests.e2e.frames import Place, ack, chat, club, history, mark_read, post, refusal
from tests.e2e.rest import done, group_path
from tests.e2e.town import Resident, Town, everything
from tests.support.loop import run
from tests.support.node import Node


async def summary(client: ChatClient, place: Place) -> ChatSummary | GroupSummary:
    """The conversation in INIT_DATA."""
    reply = await client.init_data()
    for one in reply.chats:
        if one.chat_id == place.chat_id:
            return one
    for two in reply.groups:
        if two.group_id == place.group_id:
            return two
    raise LookupError(place)


async def cursors(client: ChatClient, place: Place) -> tuple[int, int]:
    found = await summary(client, place)
    return found.delivered_seq, found.read_seq


async def peer_cursors(client: ChatClient, place: Place) -> tuple[int, int]:
    page = await history(client, place)
    assert isinstance(page, OneToOneChatHistory)
    return page.peer_delivered_seq, page.peer_read_seq


def delivered(place: Place, who: Resident, seq: int) -> DeliveryReceipt:
    return DeliveryReceipt(**place._asdict(), username=who.name, seq=seq)


def read(place: Place, who: Resident, seq: int) -> ReadReceipt:
    return ReadReceipt(**place._asdict(), username=who.name, seq=seq)


async def receipts_until(client: ChatClient, end: Receipt) -> list[Receipt]:
    """The receipts that come before `end`; other pushes are passed over."""
    found: list[Receipt] = []
    while (frame := await client.next_push()) != end:
        if isinstance(frame, Receipt):
            found.append(frame)
    return found


def test_in_a_direct_conversation(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            phone, laptop = await town.connect_all(ann, ann)
            bens = await town.connect_all(ben, ben)
            place = chat(ann, ben)
            for number in range(1, 5):
                await post(bens[0], place, f"{number}")
            for client in (phone, laptop, bens[1]):
                await everything(client)
            assert await ack(phone, place, 2) == Success(ref="2")
            assert await peer_cursors(bens[0], place) == (2, 0)
            assert (await mark_read(phone, place, 3)).seq is None
            assert await peer_cursors(bens[0], place) == (3, 3), "what is read has been delivered"
            await ack(phone, place, 4)
            for client in (*bens, laptop):
                assert await client.next_push() == delivered(place, ann, 2)
                assert await client.next_push() == read(place, ann, 3)
                assert await client.next_push() == delivered(place, ann, 4)
                assert await everything(client) == []
            assert await everything(phone) == [], "who asked has its reply"
            for client in (phone, laptop):
                assert await cursors(client, place) == (4, 3)
            assert (await cursors(bens[0], place))[1] == 0, "each user has its own"

    run(main())


def test_a_reply_comes_only_when_it_is_asked_for(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            reader, writer = await town.connect_all(ann, ben)
            place = chat(ann, ben)
            await post(writer, place, "hello")
            await reader.next_push(OneToOneChat)
            for kind in (requests.Ack, requests.MarkRead):
                for seq in (0, 1, 1):
                    await reader.send(kind(chat_id=place.chat_id, seq=seq))
                assert await frames.ask(reader, kind(ref="r", chat_id=place.chat_id, seq=1)) == (
                    Success(ref="r")
                )
                assert await everything(reader) == []
            # A refusal is told with or without.
            await reader.send(requests.Ack(chat_id=place.chat_id, seq=2))
            await ack(reader, place, 1)
            (error,) = await everything(reader)
            assert getattr(error, "code", None) is ErrorCode.INVALID_FIELD
            assert getattr(error, "ref", "") is None

    run(main())


@pytest.mark.parametrize("kind", ["direct", "group"])
def test_a_cursor_never_goes_back(kind: str, node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            phone, laptop, writer = await town.connect_all(ann, ann, ben)
            place = chat(ann, ben) if kind == "direct" else await club(writer, phone)
            posted = [await post(writer, place, f"{number}") for number in range(5)]
            await mark_read(phone, place, posted[2].seq)
            await ack(phone, place, posted[3].seq)
            for client in (phone, laptop):
                for seq in (0, posted[0].seq, posted[2].seq):
                    await ack(client, place, seq)
                    await mark_read(client, place, seq)
                assert await cursors(client, place) == (posted[3].seq, posted[2].seq)
            await ack(laptop, place, posted[4].seq)
            assert [await writer.next_push() for _ in range(3)] == [
                read(place, ann, posted[2].seq),
                delivered(place, ann, posted[3].seq),
                delivered(place, ann, posted[4].seq),
            ], "what changed nothing is not told"
            assert await cursors(phone, place) == (posted[4].seq, posted[2].seq)

    run(main())


def test_what_is_refused(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.settle_all("ann", "ben", "cat")
            reader, writer, stranger = await town.connect_all(ann, ben, cat)
            places = [chat(ann, ben), await club(writer, reader)]
            for place in places:
                head = (await post(writer, place, "hello")).seq
                await everything(reader)
                for kind in (requests.Ack, requests.MarkRead):
                    for seq in (head + 1, 2**53 - 1):
                        code = await refusal(reader, kind(**place._asdict(), seq=seq), "`seq`")
                        assert code is ErrorCode.INVALID_FIELD
                    for client in (stranger, reader):
                        swapped = kind(chat_id=place.group_id, group_id=place.chat_id, seq=1)
                        assert await refusal(client, swapped) is ErrorCode.NOT_A_MEMBER
                    request = kind(**place._asdict(), seq=1)
                    assert await refusal(stranger, request) is ErrorCode.NOT_A_MEMBER
                    request = kind(group_id="17", seq=0)
                    assert await refusal(reader, request) is ErrorCode.NOT_A_MEMBER
                assert (await cursors(reader, place))[1] < head
                assert await everything(writer) == []

    run(main())


def test_in_a_group_those_are_told_who_posted_what_is_newly_covered(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat, dan = await town.settle_all("ann", "ben", "cat", "dan")
            clients = await town.connect_all(ann, ben, cat, dan)
            place = await club(*clients)
            tablet = await town.connect(dan)
            for client in clients[:3]:
                await post(client, place, "hello")
            await frames.react(clients[2], place, (await post(clients[0], place, "x")).id, "👍")
            for client in (*clients, tablet):
                await everything(client)
            group = place.group_id
            moves: list[requests.Request] = [
                requests.Ack(group_id=group, seq=3),  # ann's 2, ben's 3
                requests.MarkRead(group_id=group, seq=4),  # the same, and cat's 4
                requests.Ack(group_id=group, seq=5),  # ann's 5
                requests.Ack(group_id=group, seq=6),  # a reaction is no post
                requests.MarkRead(group_id=group, seq=6),  # ann's 5
            ]
            for move in moves:
                await frames.ask(clients[3], move)
            told = [
                delivered(place, dan, 3),
                read(place, dan, 4),
                delivered(place, dan, 5),
                delivered(place, dan, 6),
                read(place, dan, 6),
            ]
            # One more that everybody hears of: what comes before it is all that there was.
            for client in clients[:3]:
                last = await post(client, place, "bye")
            await mark_read(clients[3], place, last.seq)
            end = read(place, dan, last.seq)
            assert await receipts_until(clients[0], end) == [told[0], told[1], told[2], told[4]]
            assert await receipts_until(clients[1], end) == [told[0], told[1]]
            assert await receipts_until(clients[2], end) == [told[1]]
            assert await receipts_until(tablet, end) == told, "its other connection hears of all"
            here = await everything(clients[3])
            assert not [frame for frame in here if isinstance(frame, Receipt)]
            # Nobody is told of itself, but on its other connections.
            await ack(clients[1], place, 3)
            assert await clients[0].next_push() == delivered(place, ben, 3)
            members = (await done(town, "GET", group_path(place, "members"), ann))["members"]
            assert [
                (one["username"], one["deliveredSeq"], one["readSeq"]) for one in members[1:]
            ] == [(ben.name, 3, 0), (cat.name, 0, 0), (dan.name, last.seq, last.seq)]

    run(main())


def test_who_is_no_member_any_more_hears_of_no_receipts(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.settle_all("ann", "ben", "cat")
            admin, former, reader = await town.connect_all(ann, ben, cat)
            place = await club(admin, former, reader)
            posted = await post(former, place, "the last words")
            await former.leave_group(place.group_id or "")
            await ack(reader, place, posted.seq)
            await mark_read(reader, place, posted.seq)
            await post(reader, chat(ben, cat), "have you heard?")
            assert isinstance(await former.next_push(), OneToOneChat)

    run(main())


def test_receipts_do_not_wait_for_who_is_away(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            reader, writer = await town.connect_all(ann, ben)
            place = chat(ann, ben)
            posted = await post(writer, place, "hello")
            await writer.abort()
            await mark_read(reader, place, posted.seq)
            back = await town.connect(ben)
            assert await everything(back) == []
            assert await peer_cursors(back, place) == (posted.seq, posted.seq)

    run(main())


def test_a_cursor_that_was_acked_outlives_a_kill(node: Node) -> None:
    async def before() -> tuple[Resident, Place]:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            reader, writer = await town.connect_all(ann, ben)
            place = chat(ann, ben)
            for _ in range(5):
                await post(writer, place, "hello")
            await mark_read(reader, place, 2)
            await ack(reader, place, 4)
            node.kill()
            return ann, place

    async def after(ann: Resident, place: Place) -> None:
        async with Town(node) as town:
            back = await town.connect(ann)
            push = await back.next_push(OneToOneChat)
            assert push.seq == 5, "just what was not delivered"
            found = await summary(back, place)
            assert (found.delivered_seq, found.read_seq, found.unread) == (4, 2, 3)

    ann, place = run(before())
    node.start()
    run(after(ann, place))
