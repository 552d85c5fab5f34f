"""Groups: made, joined, left, written to; each change is one event that everybody in it is sent."""

import pytest

from protocol import requests
from protocol.errors import ErrorCode
from protocol.model import HistoryVisibility
from protocol.pushes import (
    GroupChat,
    GroupCreated,
    GroupMemberJoined,
    GroupMemberLeft,
    Success,
)
from testclients.client import ChatClient
from testclients.errors import RequestFailed
from tests.e2e.town import Town, contents, everything, take
from tests.support.loop import run
from tests.support.node import Node


async def make_group(admin: ChatClient, *members: ChatClient, open: bool = False) -> str:
    """A group that everybody has been told of."""
    reply = await admin.create_group("club", [member.user for member in members], open=open)
    assert reply.group_id is not None
    for member in members:
        await member.next_push(GroupCreated)
    return reply.group_id


async def refusal(client: ChatClient, request: requests.Request) -> ErrorCode:
    with pytest.raises(RequestFailed) as refused:
        await client.request(request)
    assert not refused.value.temporary
    return refused.value.code


def test_a_group_is_made_with_one_event(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat, dan = await town.online("ann", "ben", "cat", "dan")
            reply = await ann.create_group(
                "The Club", [ben.user, cat.user, ben.user, ann.user], history=HistoryVisibility.ALL
            )
            assert (reply.seq, reply.prev, reply.id, reply.chat_id) == (1, 0, None, None)
            assert reply.group_id is not None
            for member in (ben, cat):
                event = await member.next_push(GroupCreated)
                assert (event.group_id, event.name, event.by) == (
                    reply.group_id,
                    "The Club",
                    ann.user,
                )
                assert event.members == [ann.user, ben.user, cat.user]
                assert (event.open, event.history) == (False, HistoryVisibility.ALL)
                assert (event.seq, event.prev, event.offline) == (1, 0, False)
            for other in (ann, dan):
                assert await everything(other) == []

    run(main())


def test_a_group_message_reaches_all_members_and_nobody_else(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat, dan = await town.online("ann", "ben", "cat", "dan")
            group = await make_group(ann, ben, cat)
            ack = await ben.send_group(group, "hello all", "key")
            assert (ack.seq, ack.prev, ack.group_id, ack.chat_id) == (2, 1, group, None)
            for member in (ann, cat):
                push = await member.next_push(GroupChat)
                assert push == GroupChat(
                    id=ack.id or "",
                    seq=2,
                    prev=1,
                    group_id=group,
                    from_=ben.user,
                    content="hello all",
                    sent_at=ack.sent_at or 0,
                    client_msg_id="key",
                )
            again = await ben.send_group(group, "hello all", "key")
            assert again.duplicate and (again.id, again.seq) == (ack.id, 2)
            assert (
                await refusal(
                    ben, requests.GroupChat(group_id=group, content="other", client_msg_id="key")
                )
                is ErrorCode.CLIENT_MSG_ID_REUSED
            )
            for other in (ann, ben, cat, dan):
                assert await everything(other) == []

    run(main())


def test_joining_and_leaving(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.online("ann", "ben", "cat")
            group = await make_group(ann, ben, open=True)
            await ann.send_group(group, "before cat")
            await ben.next_push(GroupChat)

            joined = await cat.join_group(group)
            assert (joined.seq, joined.prev, joined.group_id) == (3, 2, group)
            for member in (ann, ben):
                event = await member.next_push(GroupMemberJoined)
                assert (event.username, event.by, event.seq, event.prev) == (
                    cat.user,
                    cat.user,
                    3,
                    2,
                )
            await ann.send_group(group, "with cat")
            for member in (ben, cat):
                assert (await member.next_push(GroupChat)).content == "with cat"

            left = await ben.leave_group(group)
            assert (left.seq, left.prev) == (5, 4)
            for member in (ann, cat):
                gone = await member.next_push(GroupMemberLeft)
                assert (gone.username, gone.by, gone.seq) == (ben.user, ben.user, 5)
            await cat.send_group(group, "without ben")
            assert (await ann.next_push(GroupChat)).content == "without ben"
            assert await everything(ben) == []

            back = await ben.join_group(group)
            assert back.seq == 7
            await ann.send_group(group, "ben again")
            assert contents(await everything(ben)) == ["ben again"]

    run(main())


def test_the_older_spellings_are_understood(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            await ann.send_raw(
                '{"type": "CREATE_GROUP_CHAT", "groupName": "old", "open": true, "ref": "1"}'
            )
            made = await ann.next_push(Success)
            assert made.group_id is not None
            await ben.send_raw(f'{{"type": "JOIN_GROUP_CHAT", "groupId": "{made.group_id}"}}')
            await ann.next_push(GroupMemberJoined)
            await ben.send_raw(
                f'{{"type": "GROUP_CHAT", "to": "{made.group_id}", "content": "hi"}}'
            )
            push = await ann.next_push(GroupChat)
            assert (push.content, push.seq) == ("hi", 3)

    run(main())


def test_what_is_not_allowed_in_groups(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.online("ann", "ben", "cat")
            closed = await make_group(ann, ben)
            opened = await make_group(ann, ben, open=True)
            for missing in (closed, "12345", f"{ann.user}-{ben.user}"):
                for request in (
                    requests.GroupChat(group_id=missing, content="x"),
                    requests.JoinGroup(group_id=missing),
                    requests.LeaveGroup(group_id=missing),
                    requests.GetGroupChatHistory(group_id=missing),
                ):
                    assert await refusal(cat, request) is ErrorCode.NOT_A_MEMBER, request
            assert (
                await refusal(cat, requests.GroupChat(group_id=opened, content="x"))
                is ErrorCode.NOT_A_MEMBER
            )
            join = requests.JoinGroup(group_id=opened)
            assert await refusal(ben, join) is ErrorCode.ALREADY_A_MEMBER
            invited = requests.JoinGroup(group_id=closed, invite="abc")
            assert await refusal(cat, invited) is ErrorCode.INVITE_EXPIRED
            leave = requests.LeaveGroup(group_id=closed)
            assert await refusal(ann, leave) is ErrorCode.LAST_ADMIN
            await ben.leave_group(closed)
            assert await refusal(ben, leave) is ErrorCode.NOT_A_MEMBER
            assert await refusal(ben, requests.JoinGroup(group_id=closed)) is ErrorCode.NOT_A_MEMBER
            await ann.leave_group(closed)
            assert await refusal(ann, leave) is ErrorCode.NOT_A_MEMBER

    run(main())


@pytest.mark.parametrize("name", ["", " ", "two\nlines", "x" * 101])
def test_a_bad_group_name_is_refused(name: str, node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            (ann,) = await town.online("ann")
            assert await refusal(ann, requests.CreateGroup(name=name)) is ErrorCode.INVALID_FIELD

    run(main())


def test_a_group_with_somebody_who_is_not_there_is_not_made(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            request = requests.CreateGroup(name="club", members=[ben.user, "nobody.here"])
            with pytest.raises(RequestFailed, match="nobody.here") as refused:
                await ann.request(request)
            assert refused.value.code is ErrorCode.NO_SUCH_USER
            names = [f"member{number}" for number in range(1001)]
            many = requests.CreateGroup(name="club", members=names)
            assert await refusal(ann, many) is ErrorCode.TOO_LARGE
            assert await everything(ben) == []
            assert (await ann.init_data()).groups == []

    run(main())


def test_many_who_join_at_once_are_each_told_of_all_that_follow(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            (ann,) = await town.online("ann")
            group = await make_group(ann, open=True)
            joiners = await town.online(*(["joiner"] * 20))
            for joiner in joiners:
                await joiner.send(requests.JoinGroup(group_id=group))
            events = await take(ann, GroupMemberJoined, 20)
            assert [event.seq for event in events] == list(range(2, 22))
            assert {event.username for event in events} == {joiner.user for joiner in joiners}
            ack = await ann.send_group(group, "welcome")
            assert ack.seq == 22
            for place, event in enumerate(events):
                (joiner,) = (one for one in joiners if one.user == event.username)
                pushes = await take(joiner, GroupMemberJoined, 19 - place)
                assert [push.seq for push in pushes] == list(range(event.seq + 1, 22))
                assert (await joiner.next_push(GroupChat)).content == "welcome"

    run(main())
