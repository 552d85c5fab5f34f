"""Pages of both kinds of conversation, by whatever cursor, and who may read how far back."""

import pytest

from protocol import requests
from protocol.errors import ErrorCode
from protocol.model import HistoryMessage, HistoryVisibility
from protocol.pushes import GroupChatHistory, OneToOneChatHistory
from testclients.client import ChatClient
from testclients.errors import RequestFailed
from tests.e2e.town import Town, chat_of
from tests.support.loop import run
from tests.support.node import Node


async def page(
    client: ChatClient, conversation: str, **more: int | None
) -> OneToOneChatHistory | GroupChatHistory:
    """A page of a chat, if the id is one of a chat, or else of a group."""
    kind = requests.GetOneToOneHistory if "-" in conversation else requests.GetGroupChatHistory
    key = "chat_id" if "-" in conversation else "group_id"
    reply = await client.request(kind(**{key: conversation}, **more))  # type: ignore[arg-type]
    assert isinstance(reply, OneToOneChatHistory | GroupChatHistory)
    return reply


async def read_up(client: ChatClient, conversation: str, limit: int) -> list[HistoryMessage]:
    """Everything, by `after`."""
    found: list[HistoryMessage] = []
    after = 0
    while True:
        reply = await page(client, conversation, after=after, limit=limit)
        assert len(reply.messages) <= limit
        found += reply.messages
        assert reply.messages or not reply.has_more
        if not reply.has_more:
            return found
        after = found[-1].seq


async def read_down(client: ChatClient, conversation: str, limit: int) -> list[HistoryMessage]:
    """Everything, by `before`, from the newest page on."""
    reply = await page(client, conversation, limit=limit)
    found = reply.messages
    while reply.has_more:
        reply = await page(client, conversation, before=found[0].seq, limit=limit)
        assert reply.messages or not reply.has_more
        found = reply.messages + found
    return found


async def converse(town: Town, number: int) -> tuple[ChatClient, ChatClient, list[str]]:
    """Two users with a chat and a group, `number` messages in each, and the two ids."""
    ann, ben = await town.online("ann", "ben")
    made = await ann.create_group("club", [ben.user])
    assert made.group_id is not None
    for index in range(number):
        writer, reader = (ann, ben) if index % 3 else (ben, ann)
        await writer.send(requests.OneToOneChat(to=reader.user, content=f"{index}"))
        await writer.send(requests.GroupChat(group_id=made.group_id, content=f"{index}"))
        if index % 3 in (0, 2):
            await writer.ping()
            await writer.send_direct(reader.user, "turn")
            await writer.send_group(made.group_id, "turn")
    return ann, ben, [chat_of(ann, ben), made.group_id]


def test_a_history_is_what_was_said(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            made = await ann.create_group("club", [ben.user])
            assert made.group_id is not None
            direct = [await ann.send_direct(ben.user, "a"), await ben.send_direct(ann.user, "b")]
            group = [
                await ann.send_group(made.group_id, "c", "key"),
                await ben.send_group(made.group_id, "d"),
            ]
            for reader in (ann, ben):
                chat = await reader.history_direct(ann.user if reader is ben else ben.user)
                assert (chat.chat_id, chat.head_seq, chat.has_more) == (chat_of(ann, ben), 2, False)
                assert chat.messages == [
                    HistoryMessage(
                        id=ack.id or "",
                        seq=place + 1,
                        prev=place,
                        from_=sender.user,
                        to=other.user,
                        content=content,
                        sent_at=ack.sent_at or 0,
                        chat_id=chat_of(ann, ben),
                        version=1,
                    )
                    for place, (ack, sender, other, content) in enumerate(
                        [(direct[0], ann, ben, "a"), (direct[1], ben, ann, "b")]
                    )
                ]
                club = await reader.history_group(made.group_id)
                assert (club.group_id, club.head_seq, club.has_more) == (made.group_id, 3, False)
                assert club.messages == [
                    HistoryMessage(
                        id=ack.id or "",
                        seq=place,
                        prev=place - 1,
                        from_=sender.user,
                        content=content,
                        sent_at=ack.sent_at or 0,
                        group_id=made.group_id,
                        client_msg_id=key,
                        version=1,
                    )
                    for place, ack, sender, content, key in [
                        (2, group[0], ann, "c", "key"),
                        (3, group[1], ben, "d", None),
                    ]
                ]

    run(main())


def test_pages_of_any_size_in_either_direction_make_the_whole(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, conversations = await converse(town, 30)
            for conversation in conversations:
                whole = (await page(ben, conversation, limit=200)).messages
                first = 1 if "-" in conversation else 2
                assert [message.seq for message in whole] == list(range(first, first + len(whole)))
                assert len(whole) > 30
                for limit in (1, 2, 7, len(whole) - 1, len(whole), 200):
                    assert await read_up(ben, conversation, limit) == whole, limit
                    assert await read_down(ann, conversation, limit) == whole, limit

    run(main())


def test_cursors_are_exclusive_and_may_point_anywhere(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            for number in range(1, 11):
                await ann.send_direct(ben.user, f"{number}")
            chat = chat_of(ann, ben)

            async def numbers(**more: int) -> tuple[list[int], bool]:
                reply = await page(ben, chat, **more)
                assert reply.head_seq == 10
                return [message.seq for message in reply.messages], reply.has_more

            assert await numbers() == (list(range(1, 11)), False)
            assert await numbers(limit=3) == ([8, 9, 10], True)
            assert await numbers(before=8, limit=3) == ([5, 6, 7], True)
            assert await numbers(before=4, limit=3) == ([1, 2, 3], False)
            assert await numbers(before=1) == ([], False)
            assert await numbers(before=0) == ([], False)
            assert await numbers(before=2**53 - 1, limit=2) == ([9, 10], True)
            assert await numbers(after=0, limit=3) == ([1, 2, 3], True)
            assert await numbers(after=7, limit=3) == ([8, 9, 10], False)
            assert await numbers(after=10) == ([], False)
            assert await numbers(after=2**53 - 1) == ([], False)

    run(main())


def test_fifty_are_given_when_no_number_is_asked_for(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            for number in range(60):
                await ann.send(requests.OneToOneChat(to=ben.user, content=f"{number}"))
            await ann.send_direct(ben.user, "last")
            reply = await ann.history_direct(ben.user)
            assert [message.seq for message in reply.messages] == list(range(12, 62))
            assert reply.has_more

    run(main())


def test_joins_and_leaves_are_not_in_it_and_do_not_end_it(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            made = await ann.create_group("club", open=True)
            group = made.group_id
            assert group is not None
            for turn in range(20):
                await ben.join_group(group)
                await ben.leave_group(group)
                if turn % 5 == 0:
                    await ann.send_group(group, f"{turn}")
            for limit in (3, 50, 200):
                for read in (read_up, read_down):
                    found = await read(ann, group, limit)
                    assert [message.content for message in found] == ["0", "5", "10", "15"]

    run(main())


def test_a_new_member_reads_from_its_joining_on_or_everything(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            for history, seen in (
                (HistoryVisibility.JOINED, ["after"]),
                (HistoryVisibility.ALL, ["before 1", "before 2", "after"]),
            ):
                made = await ann.create_group("club", open=True, history=history)
                group = made.group_id
                assert group is not None
                await ann.send_group(group, "before 1")
                await ann.send_group(group, "before 2")
                await ben.join_group(group)
                await ann.send_group(group, "after")
                for limit in (1, 2, 200):
                    for read in (read_up, read_down):
                        found = await read(ben, group, limit)
                        assert [message.content for message in found] == seen
                assert len((await ann.history_group(group)).messages) == 3
                await ben.leave_group(group)
                with pytest.raises(RequestFailed) as refused:
                    await ben.history_group(group)
                assert refused.value.code is ErrorCode.NOT_A_MEMBER

    run(main())


def test_two_who_never_wrote_have_an_empty_history(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            reply = await ann.history_direct(ben.user)
            assert (reply.messages, reply.has_more, reply.head_seq) == ([], False, 0)
            assert reply.chat_id == chat_of(ann, ben)
            await ann.open_chat(ben.user)
            assert (await page(ben, chat_of(ann, ben))).messages == []

    run(main())


def test_it_tells_how_far_the_other_has_got(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ann)
            await writer.send_direct(ben.name, "1")
            await writer.send_direct(ben.name, "2")
            assert (await writer.history_direct(ben.name)).peer_delivered_seq == 0
            reader = await town.connect(ben)
            await reader.send_direct(ann.name, "3")
            await reader.ping()
            here = await writer.history_direct(ben.name)
            assert (here.is_online, here.last_seen) == (True, None)
            await reader.close()
            while (gone := await writer.history_direct(ben.name)).is_online:
                pass  # the end of a connection is seen in its own time
            assert (gone.peer_delivered_seq, gone.peer_read_seq) == (3, 0)
            assert gone.last_seen is not None

    run(main())


def test_what_is_refused(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.online("ann", "ben", "cat")
            await ann.send_direct(ben.user, "private")
            made = await ann.create_group("club", [ben.user])
            assert made.group_id is not None
            direct, group = requests.GetOneToOneHistory, requests.GetGroupChatHistory
            chat = chat_of(ann, ben)
            refusals: list[tuple[ChatClient, requests.Request, ErrorCode, str]] = [
                (cat, direct(chat_id=chat), ErrorCode.NOT_A_MEMBER, ""),
                (cat, direct(chat_id="no-chat"), ErrorCode.NOT_A_MEMBER, ""),
                (cat, group(group_id=made.group_id), ErrorCode.NOT_A_MEMBER, ""),
                (cat, group(group_id=chat), ErrorCode.NOT_A_MEMBER, ""),
                (ann, group(group_id=chat), ErrorCode.NOT_A_MEMBER, ""),
                (ann, direct(chat_id=made.group_id), ErrorCode.NOT_A_MEMBER, ""),
                (ann, direct(to="nobody.here"), ErrorCode.NO_SUCH_USER, "nobody.here"),
                (ann, direct(to=ann.user), ErrorCode.INVALID_FIELD, "`to`"),
                (ann, direct(), ErrorCode.INVALID_FIELD, "`to`"),
                (ann, direct(to=cat.user, chat_id=chat), ErrorCode.INVALID_FIELD, "`chatId`"),
                (ann, direct(to=ben.user, before=2, after=1), ErrorCode.INVALID_FIELD, "`before`"),
                (
                    ann,
                    group(group_id=made.group_id, before=2, after=1),
                    ErrorCode.INVALID_FIELD,
                    "`before`",
                ),
                (ann, direct(to=ben.user, from_=cat.user), ErrorCode.FORBIDDEN, "`from`"),
                (ann, group(group_id="1", from_=cat.user), ErrorCode.FORBIDDEN, "`from`"),
            ]
            for client, request, code, words in refusals:
                with pytest.raises(RequestFailed) as refused:
                    await client.request(request)
                assert refused.value.code is code, request
                assert words in refused.value.msg

    run(main())
