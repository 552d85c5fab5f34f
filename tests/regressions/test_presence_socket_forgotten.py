"""Connections to the presence socket were missing from the registry of a user's connections."""

import pytest

from protocol.close import CloseCode
from protocol.model import PresenceStatus
from protocol.pushes import PresenceUpdate
from testclients import http
from tests.e2e.town import Town
from tests.support.loop import run
from tests.support.node import Node


@pytest.mark.parametrize("everywhere", [False, True])
def test_logout_closes_it(everywhere: bool, node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            who = await town.settle()
            client = await town.connect(who, presence=True)
            await http.logout(node.http_url, who.token, everywhere=everywhere)
            assert await client.closed == CloseCode.TOKEN_REVOKED

    run(main())


def test_it_is_told_of_new_friends(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            watcher = await town.connect(ann, presence=True)
            ann_here, ben_here = await town.connect(ann), await town.connect(ben)
            await ann_here.send_direct(ben.name, "hi")
            await ben_here.send_direct(ann.name, "hello")
            update = await ann_here.next_push(PresenceUpdate)
            assert (update.username, update.status) == (ben.name, PresenceStatus.ONLINE)
            # Both connections are told in one step, or neither.
            await watcher.ping()
            told = [one.username for one in watcher.take_all() if isinstance(one, PresenceUpdate)]
            assert told == [ben.name]

    run(main())
