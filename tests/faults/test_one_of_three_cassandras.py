"""Of three nodes of Cassandra one is killed, and nothing is noticed; and then another."""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import pytest

from protocol import requests
from protocol.errors import ErrorCode
from protocol.pushes import OneToOneChat
from testclients.client import ChatClient
from tests.e2e.frames import Place, chat, history, refusal
from tests.e2e.town import Town, contents, take
from tests.support.backends import Backends
from tests.support.loop import run, until
from tests.support.node import Node, command
from tests.support.stored_events import stored
from tests.support.three_cassandras import ThreeCassandras

pytestmark = pytest.mark.slow

SECONDS: Final = 60.0
OLD: Final = 200
"""Messages that the ledger has no more."""
AWAY: Final = "the message store does not take events"


class Scene(NamedTuple):
    cluster: ThreeCassandras
    backends: Backends
    node: Node

    @property
    def settings(self) -> dict[str, str]:
        return self.node.settings

    @property
    def facts(self) -> dict[str, Any]:
        """What readiness says of Cassandra; nothing while it asks a node that has just died."""
        told = json.loads(self.node.get("/readyz")[1])["backends"]["cassandra"]
        found: dict[str, Any] = told.get("details", {})
        return found

    def has_nodes(self, count: int) -> bool:
        """So many of them are up, as far as the node knows."""
        return self.facts.get("nodesUp") == count

    async def has_stored_all(self) -> None:
        def has() -> bool:
            return self.node.metric("chatd_history_unstored") == 0

        await until(has, "Cassandra has everything", seconds=SECONDS)

    @property
    def failures(self) -> int:
        return self.node.metric("chatd_history_put_failures_total")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with ThreeCassandras() as cluster, Backends(migrated=False) as backends:
        settings = {"cassandra_hosts": cluster.hosts}
        done = command(["migrate"], backends.settings | settings, seconds=60)
        assert done.returncode == 0, done.stderr
        folder = tmp_path_factory.mktemp("node")
        with Node(folder, backends=backends, settings=settings) as node:
            yield Scene(cluster, backends, node)
            assert [line for line in node.complaints if AWAY not in line] == []
            assert node.metric("chatd_holes_total") == 0


class Talk:
    """What one user says to another: every message is acked, and the old ones can be read."""

    def __init__(self, writer: ChatClient, reader: ChatClient) -> None:
        self.place: Place = chat(writer, reader)
        self.count = 0
        self._writer = writer
        self._to = reader.user

    async def say(self, times: int = 1) -> None:
        for _ in range(times):
            ack = await self._writer.send_direct(self._to, f"{self.count}")
            self.count += 1
            assert ack.seq == self.count

    async def read_old(self) -> None:
        page = await history(self._writer, self.place, before=OLD + 1, limit=OLD)
        assert [one.content for one in page.messages] == [f"{n}" for n in range(OLD)]

    async def go_on_until(self, claim: Callable[[], bool]) -> None:
        """Write and read."""
        while not claim():
            await self.say(5)
            await self.read_old()


def test_one_node_is_killed_then_another_and_they_come_back(scene: Scene) -> None:
    async def main() -> None:
        async with Town(scene.node) as town:
            writer, reader = await town.online("ann", "ben")
            talk = Talk(writer, reader)
            await talk.say(OLD)
            await scene.has_stored_all()
            await scene.backends.run(
                f"DELETE FROM ledger WHERE conversation_id = '{talk.place.id}'"
            )
            await talk.read_old()
            assert scene.has_nodes(3)
            assert "3" in scene.facts["replication"].values()

            scene.cluster.kill(0)
            await talk.go_on_until(lambda: scene.has_nodes(2))
            await talk.say(OLD)
            await talk.read_old()
            await scene.has_stored_all()
            assert scene.node.get("/readyz")[0] == 200

            scene.cluster.kill(1)
            before = scene.failures
            while scene.failures == before:
                await talk.say(5)
            older = requests.GetOneToOneHistory(chat_id=talk.place.chat_id, before=OLD + 1)
            assert await refusal(writer, older) is ErrorCode.UNAVAILABLE
            newest = await history(writer, talk.place, limit=5)
            assert newest.messages[-1].content == f"{talk.count - 1}"

            scene.cluster.revive()
            await until(lambda: scene.has_nodes(3), "it knows all three", seconds=SECONDS)
            await talk.say(5)
            await scene.has_stored_all()
            await talk.read_old()
            async with stored(scene.settings) as there:
                seqs = await there.seqs(talk.place.id, head=talk.count)
            assert seqs == list(range(1, talk.count + 1))
            pushes = await take(reader, OneToOneChat, talk.count)
            assert contents(pushes) == [f"{n}" for n in range(talk.count)]

    run(main(), seconds=4 * SECONDS)
