"""The client that stays connected, for a user of more conversations than INIT_DATA tells."""

from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any, Final

from protocol import requests
from protocol.limits import CONTENT_BYTES, INIT_DATA_CONVERSATIONS
from protocol.pushes import GroupChat, Success
from testclients import http
from testclients.client import ChatClient
from testclients.credentials import Credentials
from testclients.events import Event, where_of
from testclients.notices import Rewound
from testclients.steady import SteadyClient
from tests.e2e.test_steady_client import seqs, steady, take, take_events
from tests.e2e.town import Resident, Town, chat_of, contents
from tests.e2e.town import take as take_pushes
from tests.support.loop import run
from tests.support.node import Node

OLD: Final = 100
MANY: Final = INIT_DATA_CONVERSATIONS + OLD


async def make_groups(client: ChatClient, member: Resident, count: int) -> list[str]:
    """Groups of the client's user and a member, oldest first."""
    for number in range(count):
        await client.send(requests.CreateGroup(name=f"{number}", members=[member.name]))
    made = [ack.group_id for ack in await take_pushes(client, Success, count)]
    return [group_id for group_id in made if group_id is not None]


async def say_in_each(client: ChatClient, groups: list[str], content: str) -> None:
    for group_id in groups:
        await client.send(requests.GroupChat(group_id=group_id, content=content))
    await take_pushes(client, Success, len(groups))


def by_conversation(events: list[Event]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for event in events:
        where = where_of(event)
        assert where is not None
        found.setdefault(where.id, []).append(event.seq)
    return found


async def next_content(client: SteadyClient) -> str:
    return (await take(client, GroupChat)).content


def test_all_of_three_hundred_conversations_are_resumed(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ben)
            old = await make_groups(writer, ann, OLD)
            await say_in_each(writer, old, "missed")
            new = await make_groups(writer, ann, MANY - OLD)
            async with steady(node, ann) as first:
                await first.online()
                events = await take_events(first, MANY + OLD)
                assert first.take_all() == [], "each once"
                expected = dict.fromkeys(old, [1, 2]) | dict.fromkeys(new, [1])
                assert by_conversation(events) == expected
                await writer.send_group(old[0], "live")
                assert await next_content(first) == "live"
                first.take_all()
            await say_in_each(writer, old[1:], "while away")
            # What is old now is what was new: it was known before, and is resumed unseen.
            kept: dict[str, Any] = {"positions": first.positions, "log_id": first.log_id}
            async with steady(node, ann, **kept) as second:
                await second.online()
                events = await take_events(second, OLD - 1)
                assert by_conversation(events) == dict.fromkeys(old[1:], [3])
                assert contents(events) == ["while away"] * (OLD - 1)
                await writer.send_group(new[0], "live too")
                assert await next_content(second) == "live too"
                assert second.take_all() == []

    run(main())


class Interrupted(Credentials):
    """After each page of the list something happens."""

    def __init__(self, node: Node, who: Resident, then: Callable[[], Awaitable[object]]) -> None:
        login = http.Login(who.token, who.refresh_token, 60, http.User(who.name))
        super().__init__(node.http_url, login)
        self._then = then

    async def conversations(self, cursor: str | None) -> http.ConversationPage:
        page = await super().conversations(cursor)
        await self._then()
        return page


def test_what_is_said_while_the_list_is_read_is_not_lost(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ben)
            groups = await make_groups(writer, ann, MANY)
            silent = iter(groups)
            moved: list[str] = []

            async def say() -> None:
                # The oldest ones, which no page has named yet, move to the front.
                moved.extend(islice(silent, 2))
                await say_in_each(writer, moved[-2:], "meanwhile")

            credentials = Interrupted(node, ann, say)
            async with SteadyClient(node.chat_url, credentials) as reader:
                await reader.online()
                assert len(moved) >= 2 * 4, "three pages, and the first one again"
                events = await take_events(reader, MANY + len(moved))
                others = dict.fromkeys(groups[len(moved) :], [1])
                assert by_conversation(events) == dict.fromkeys(moved, [1, 2]) | others
                await say_in_each(writer, groups, "live")
                events = await take_events(reader, MANY)
                assert contents(events) == ["live"] * MANY
                assert reader.take_all() == []

    run(main())


def test_large_last_messages_do_not_keep_anybody_out(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ben)
            groups = await make_groups(writer, ann, INIT_DATA_CONVERSATIONS + 1)
            # In JSON a byte of it is six.
            await say_in_each(writer, groups, "\x01" * CONTENT_BYTES)
            async with steady(node, ann) as reader:
                await reader.online()
                await writer.send_group(groups[0], "live")
                while await next_content(reader) != "live":
                    pass

    run(main())


def test_a_chat_in_which_nothing_was_said_is_resumed_like_any_other(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            other = await town.connect(ben)
            await other.open_chat(ann.name)
            chat_id = chat_of(ann, ben)
            kept: dict[str, Any] = {"positions": {chat_id: 3}, "log_id": other.info.log_id}
            for more, happened in (({}, []), (kept, [Rewound(chat_id)])):
                async with steady(node, ann, **more) as reader:
                    await reader.online()
                    assert reader.take_all() == happened, "it is not gone"
                    assert reader.positions == {chat_id: 0}
            async with steady(node, ann) as reader:
                await reader.online()
                await other.send_direct(ann.name, "first")
                assert seqs(await take_events(reader, 1)) == [1]

    run(main())
