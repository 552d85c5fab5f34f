"""A device that was away while another was online: the user's cursor moved on without it."""

import pytest

from protocol import requests
from protocol.errors import ErrorCode
from protocol.model import HistoryVisibility
from protocol.pushes import (
    Error,
    GroupChat,
    NewOneToOneChat,
    OneToOneChat,
    ReplyFrame,
    ServerFrame,
    Success,
)
from testclients.client import ChatClient
from tests.e2e import frames
from tests.e2e.frames import Place, ack, ask, chat, club, numbers, post, resume
from tests.e2e.town import Resident, Town, everything
from tests.support.loop import run
from tests.support.node import Node


async def converse(town: Town, ann: Resident, ben: Resident) -> tuple[Place, Place, ChatClient]:
    """Ann's phone and Ben write in a chat and in a group, up to 6 in each, while Ann's laptop is
    away; the phone has acknowledged it all. The two places, and Ben's connection."""
    phone, writer = await town.connect_all(ann, ben)
    direct, group = chat(ann, ben), await club(writer, phone)
    for place, first in ((direct, 1), (group, 2)):
        for seq in range(first, 7):
            one, other = (phone, writer) if seq % 2 else (writer, phone)
            await post(one, place, f"{seq}")
            await other.next_push(OneToOneChat if place is direct else GroupChat)
        await ack(phone, place, 6)
    await phone.close()
    return direct, group, writer


@pytest.mark.parametrize("resumes", [True, False], ids=["resumes", "is pushed to"])
def test_it_gets_what_it_lacks_also_what_its_user_wrote(resumes: bool, node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            direct, group, writer = await converse(town, ann, ben)
            laptop = await town.connect(ann, resumes=resumes, positions=None)
            pushed = await everything(laptop)
            assert not numbers(pushed, direct) + numbers(pushed, group), "delivered to the user"
            came, errors = await resume(laptop, {direct.id: 2, group.id: 0})
            assert errors == {}
            assert numbers(came, direct) == [3, 4, 5, 6]
            assert numbers(came, group) == [1, 2, 3, 4, 5, 6]
            texts = [frame.content for frame in came if isinstance(frame, OneToOneChat)]
            assert texts == ["3", "4", "5", "6"]
            await post(writer, direct, "live")
            assert (await laptop.next_push(OneToOneChat)).seq == 7

    run(main())


async def write_last_on_the_phone(town: Town, ann: Resident, ben: Resident) -> list[Place]:
    """Many groups with five events each: 2 was delivered to Ann, 3 and 4 are her phone's own."""
    phone, writer = await town.connect_all(ann, ben)
    places = [await club(writer, phone) for _ in range(40)]
    for place in places:
        assert (await post(writer, place, "hello")).seq == 2
        await ack(phone, place, 2)
        assert [(await post(phone, place, text)).seq for text in "ab"] == [3, 4]
        assert (await post(writer, place, "bye")).seq == 5
    await phone.abort()
    return places


def test_what_its_user_wrote_last_comes_although_the_server_pushes_too(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            places = await write_last_on_the_phone(town, ann, ben)
            laptop = await town.connect(ann, positions=None)
            came, _ = await resume(laptop, {place.id: 2 for place in places})
            came += await everything(laptop)
            for place in places:
                assert sorted(numbers(came, place)) == [3, 4, 5]

    run(main())


def test_what_was_asked_for_while_the_server_pushes_comes_once(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            places = await write_last_on_the_phone(town, ann, ben)
            for position in (0, 3):
                laptop = await town.connect(ann, positions=None)
                came: list[ServerFrame] = []
                for _ in range(3):
                    came += (await resume(laptop, dict.fromkeys(ids(places), position)))[0]
                came += await everything(laptop)
                for place in places:
                    found = numbers(came, place)
                    assert sorted(found) == list(range(position + 1, 6)), "each, and once"
                await laptop.abort()

    def ids(places: list[Place]) -> list[str]:
        return [place.id for place in places]

    run(main())


def test_a_chat_that_was_opened_and_has_no_event_yet(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            opened = await ann.open_chat(ben.user)
            direct = chat(ann, ben)
            assert opened.chat_id == direct.id
            assert (await ben.next_push(NewOneToOneChat)).chat_id == direct.id
            for client in (ann, ben):
                assert await resume(client, {direct.id: 0}) == ([], {})
            assert (await post(ben, direct, "first")).seq == 1
            assert (await ann.next_push(OneToOneChat)).seq == 1

    run(main())


def test_the_log_is_the_same_after_a_restart_and_positions_hold(node: Node) -> None:
    async def before(ann: Resident, ben: Resident) -> tuple[str, Place, Place]:
        async with Town(node) as town:
            direct, group, writer = await converse(town, ann, ben)
            await post(writer, group, "7")
            return writer.info.log_id, direct, group

    async def after(ann: Resident, log_id: str, direct: Place, group: Place) -> None:
        async with Town(node) as town:
            laptop = await town.connect(ann, resumes=True)
            assert laptop.info.log_id == log_id
            came, _ = await resume(laptop, {direct.id: 4, group.id: 6})
            assert (numbers(came, direct), numbers(came, group)) == ([5, 6], [7])

    async def settle() -> list[Resident]:
        return await Town(node).settle_all("ann", "ben")

    ann, ben = run(settle())
    log_id, direct, group = run(before(ann, ben))
    assert log_id
    assert node.stop() == 0
    node.start()
    run(after(ann, log_id, direct, group))
    node.kill()
    node.start()
    run(after(ann, log_id, direct, group))


def test_several_at_once_are_each_answered_in_turn(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            direct, group, _ = await converse(town, ann, ben)
            laptop = await town.connect(ann, resumes=True)
            for number, positions in enumerate(
                ({direct.id: 3}, {group.id: 4}, {direct.id: 3}, {direct.id: 5, group.id: 5})
            ):
                await laptop.send(requests.Resume(ref=f"{number}", positions=positions))
            order: list[object] = []
            while len(order) < 9:
                frame = await laptop.next_push()
                if isinstance(frame, Success):
                    assert frame.errors is None
                    order.append(frame.ref)
                elif frames.event_seq(frame) is not None:
                    order.append(numbers([frame], direct) or numbers([frame], group)[0] * 10)
            assert order == [[4], [5], [6], "0", 50, 60, "1", "2", "3"]
            await ask(laptop, requests.Resume(positions={}))
            assert await everything(laptop) == []

    run(main())


def test_more_than_may_wait_are_refused_for_now(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            direct, _, _ = await converse(town, ann, ben)
            laptop = await town.connect(ann, resumes=True)
            for number in range(100):
                await laptop.send(requests.Resume(ref=f"{number}", positions={direct.id: 6}))
            answers = [await laptop.next_push(ReplyFrame) for _ in range(100)]
            refused = [answer for answer in answers if isinstance(answer, Error)]
            assert 0 < len(refused) < 100
            for error in refused:
                assert (error.code, error.temporary) == (ErrorCode.RATE_LIMITED, True)
                assert error.retry_after_ms is not None
            assert await resume(laptop, {direct.id: 6}) == ([], {})

    run(main())


@pytest.mark.parametrize("query", ["", "?resume=0", "?resume=", "?resume=true", "?resumes=1"])
def test_only_who_says_so_is_not_pushed_to(query: str, node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ben)
            await post(writer, chat(ann, ben), "hello")
            reader = await ChatClient.connect(node.chat_url + query, ann.token)
            assert (await reader.next_push(OneToOneChat)).offline
            await reader.close()

    run(main())


def test_it_may_be_said_beside_a_token(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ben)
            place = chat(ann, ben)
            await post(writer, place, "hello")
            reader = await town.connect(ann, resumes=True, token_by="query")
            await reader.ping()
            assert await everything(reader) == []
            assert numbers((await resume(reader, {place.id: 0}))[0], place) == [1]

    run(main())


def test_who_joins_may_ask_for_what_was_before_where_it_is_shown_to_all(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            reader, writer = await town.connect_all(ann, ben)
            for visibility, before in (
                (HistoryVisibility.ALL, [1, 2, 3]),
                (HistoryVisibility.JOINED, []),
            ):
                made = await writer.create_group("club", open=True, history=visibility)
                place = Place(group_id=made.group_id)
                for text in "ab":
                    await post(writer, place, text)
                assert (await reader.join_group(place.id)).seq == 4
                came, _ = await resume(reader, {place.id: 0})
                assert numbers(came, place) == before
                assert await resume(reader, {place.id: 0}) == ([], {})

    run(main())
