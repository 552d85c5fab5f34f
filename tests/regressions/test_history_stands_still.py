"""A page without a message said that there is more, and gave nothing to go on from."""

import pytest

from protocol import requests
from testclients.client import ChatClient
from tests.e2e.town import Town
from tests.support.loop import run
from tests.support.node import Node


@pytest.mark.parametrize("limit", [1, 50])
@pytest.mark.parametrize("upwards", [True, False])
def test_a_page_that_has_more_holds_a_message(limit: int, upwards: bool, node: Node) -> None:
    async def join_and_leave(client: ChatClient, group: str, times: int) -> None:
        for _ in range(times):
            await client.send(requests.JoinGroup(group_id=group))
            await client.leave_group(group)

    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            made = await ann.create_group("club", open=True)
            group = made.group_id
            assert group is not None
            await join_and_leave(ben, group, 3 * limit + 5)
            said = await ann.send_group(group, "the only one")
            await join_and_leave(ben, group, 3 * limit + 5)
            page = (
                await ann.history_group(group, after=1, limit=limit)
                if upwards
                else await ann.history_group(group, limit=limit)
            )
            assert page.messages or not page.has_more
            assert [message.id for message in page.messages] == [said.id]

    run(main())
