"""The first screen in one reply, and chats that are opened before anything is said."""

import asyncio
import time

import pytest

from protocol import PROTOCOL_VERSION, requests
from protocol.errors import ErrorCode
from protocol.limits import Limits
from protocol.model import Role, User
from protocol.pushes import GroupCreated, Info, NewOneToOneChat, OneToOneChat
from testclients import http
from testclients.client import ChatClient
from testclients.errors import RequestFailed
from tests.e2e.town import PASSWORD, Resident, Town, chat_of, take
from tests.support.loop import run, until
from tests.support.node import Node


def test_info_is_the_first_frame_and_tells_who_where_and_how_much(node: Node) -> None:
    async def look(who: Resident) -> list[Info]:
        async with Town(node) as town:
            return [(await town.connect(who, presence=door)).info for door in (False, True)]

    who = run(Town(node).settle())
    now = time.time_ns() // 1_000_000
    infos = run(look(who))
    for info in infos:
        assert (info.user, info.protocol) == (who.name, PROTOCOL_VERSION)
        assert info.limits == Limits()
        assert info.limits.content_bytes == 16_384 and info.limits.frame_bytes == 131_072
        assert now <= info.server_time <= time.time_ns() // 1_000_000
        assert info.msg and info.log_id
    assert len({info.connection_id for info in infos}) == 2
    assert node.stop() == 0
    node.start()
    assert {info.log_id for info in [*infos, *run(look(who))]} == {infos[0].log_id}


def test_a_new_user_has_an_empty_screen(node: Node) -> None:
    async def main() -> None:
        login = await http.register(node.http_url, "empty.screen", PASSWORD, "Empty Screen")
        async with ChatClient.connect(node.chat_url, login.token) as client:
            data = await client.init_data()
            assert data.user == User(username="empty.screen", display_name="Empty Screen")
            assert (data.chats, data.groups, data.has_more) == ([], [], False)

    run(main())


def test_chats_and_groups_with_what_is_new_in_them(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.settle_all("ann", "ben", "cat")
            ben_here, cat_here = await town.connect(ben), await town.connect(cat)
            made = await ben_here.create_group("club", [ann.name, cat.name])
            group = made.group_id
            assert group is not None
            await ben_here.send_direct(ann.name, "one")
            last = await ben_here.send_direct(ann.name, "two")
            # What comes in one millisecond has no order on the screen.
            await until(lambda: time.time_ns() // 1_000_000 > (last.sent_at or 0), "a tick")
            await cat_here.send_direct(ann.name, "hi")
            said = await cat_here.send_group(group, "all")
            await cat_here.close()

            ann_here = await town.connect(ann)
            await take(ann_here, OneToOneChat, 3)
            data = await ann_here.init_data()
            assert [chat.peer for chat in data.chats] == [cat.name, ben.name], "newest first"
            by_cat, by_ben = data.chats
            assert by_ben.chat_id == chat_of(ann, ben)
            assert (by_ben.last_seq, by_ben.read_seq, by_ben.unread) == (2, 0, 2)
            assert by_ben.last_message is not None
            assert (by_ben.last_message.id, by_ben.last_message.content) == (last.id, "two")
            assert (by_cat.unread, by_cat.is_online) == (1, False)
            (club,) = data.groups
            assert (club.group_id, club.name, club.role) == (group, "club", Role.MEMBER)
            assert (club.member_count, club.last_seq, club.unread) == (3, 2, 1)
            assert club.last_message is not None and club.last_message.id == said.id
            assert not data.has_more

            (own,) = (await ben_here.init_data()).groups
            assert (own.role, own.unread) == (Role.ADMIN, 1)
            (mine,) = (await ben_here.init_data()).chats
            assert (mine.peer, mine.unread, mine.last_seq) == (ann.name, 0, 2)

    run(main())


def test_unread_is_counted_up_to_a_hundred(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")

            async def write(number: int) -> None:
                for _ in range(number - 1):
                    await ben.send(requests.OneToOneChat(to=ann.user, content="x"))
                await ben.send_direct(ann.user, "x")

            await write(100)
            assert (await ann.init_data()).chats[0].unread == 100
            await write(1)
            assert (await ann.init_data()).chats[0].unread == "100+"

    run(main())


def test_two_hundred_conversations_and_whether_there_are_more(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            (ann,) = await town.online("ann")
            for number in range(199):
                await ann.send(requests.CreateGroup(name=f"group {number}"))
            await ann.create_group("group 199")
            data = await ann.init_data()
            assert (len(data.groups), data.has_more) == (200, False)
            await ann.create_group("group 200")
            data = await ann.init_data()
            assert (len(data.groups), data.has_more) == (200, True)
            assert "group 200" in {group.name for group in data.groups}

    run(main())


def test_a_left_group_is_not_on_the_screen(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            made = await ann.create_group("club", [ben.user])
            assert made.group_id is not None
            assert (await ann.init_data()).groups[0].member_count == 2
            await ben.leave_group(made.group_id)
            assert (await ben.init_data()).groups == []
            assert (await ann.init_data()).groups[0].member_count == 1

    run(main())


def test_the_state_is_the_same_after_a_restart(node: Node) -> None:
    async def look() -> object:
        async with Town(node) as town:
            client = await town.connect(who)
            await client.ping()
            return await client.init_data()

    async def prepare() -> object:
        async with Town(node) as town:
            ben, cat = await town.online("ben", "cat")
            await ben.send_direct(who.name, "hi")
            await cat.create_group("club", [who.name, ben.user])
            reader = await town.connect(who)
            # The one of each conversation.
            await reader.next_push(OneToOneChat)
            await reader.next_push(GroupCreated)
            await asyncio.gather(ben.close(), cat.close(), reader.close())
            # Who was sent what is known when the connections have ended on the other side too.
            await until(lambda: node.metric("chatd_connections") == 0, "their ends are known")
        return await look()

    who = run(Town(node).settle())
    before = run(prepare())
    assert node.stop() == 0
    node.start()
    assert run(look()) == before


def test_an_opened_chat_is_there_for_both(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            ann_here = await town.connect(ann)
            phones = [await town.connect(ben) for _ in range(2)]
            reply = await ann_here.open_chat(ben.name)
            assert (reply.chat_id, reply.seq) == (chat_of(ann, ben), None)
            for phone in phones:
                push = await phone.next_push(NewOneToOneChat)
                assert (push.from_, push.chat_id) == (ann.name, chat_of(ann, ben))
            for client in (ann_here, phones[0]):
                (chat,) = (await client.init_data()).chats
                assert (chat.chat_id, chat.last_seq, chat.unread) == (chat_of(ann, ben), 0, 0)
                assert chat.last_message is None
            assert (await phones[0].open_chat(ann.name)).chat_id == chat_of(ann, ben)
            assert (await ann_here.send_direct(ben.name, "hi")).seq == 1
            for phone in phones:
                assert (await phone.next_push(OneToOneChat)).seq == 1

    run(main())


@pytest.mark.parametrize(
    ("to", "code"), [("nobody.here", ErrorCode.NO_SUCH_USER), (None, ErrorCode.INVALID_FIELD)]
)
def test_a_chat_with_nobody_or_oneself_cannot_be_opened(
    to: str | None, code: ErrorCode, node: Node
) -> None:
    async def main() -> None:
        async with Town(node) as town:
            (ann,) = await town.online("ann")
            with pytest.raises(RequestFailed) as refused:
                await ann.open_chat(to or ann.user)
            assert refused.value.code is code
            assert (await ann.init_data()).chats == []

    run(main())
