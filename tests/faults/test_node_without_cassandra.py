"""A node that loses Cassandra: sends go on, what is recent is read, and history catches up."""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import pytest

from chatd.delivery.pages import PAGE
from chatd.events import EventKind
from chatd.ids import message_id
from protocol import requests
from protocol.close import may_reconnect
from protocol.errors import ErrorCode
from protocol.model import HistoryMessage
from protocol.pushes import OneToOneChat
from testclients.client import ChatClient
from testclients.errors import CannotConnect, ClientError, ConnectionLost
from tests.e2e import frames
from tests.e2e.frames import Place, chat, refusal
from tests.e2e.rest import done
from tests.e2e.town import Resident, Town, contents, take
from tests.support.backends import Backends
from tests.support.loop import run, until
from tests.support.node import Node
from tests.support.proxied_cassandra import proxied
from tests.support.proxy import Proxy
from tests.support.stored_events import stored

pytestmark = pytest.mark.slow

SECONDS: Final = 90.0
OLD: Final = PAGE
"""The first messages of a conversation, which the ledger forgets."""
FEW: Final = 20
"""What is always on its way while somebody writes; fewer than there are while Cassandra is away."""
AWAY: Final = "the message store does not take events"


class Scene(NamedTuple):
    """A node with a way to Cassandra that can be lost."""

    node: Node
    backends: Backends
    proxy: Proxy

    @property
    def failures(self) -> int:
        return self.node.metric("chatd_history_put_failures_total")

    @property
    def unstored(self) -> int:
        return self.node.metric("chatd_history_unstored")

    @property
    def holes(self) -> int:
        return self.node.metric("chatd_holes_total")

    async def has_stored_all(self) -> None:
        await until(lambda: self.unstored == 0, "Cassandra has everything", seconds=SECONDS)

    async def forget(self, place: Place, up_to: int = 2**62) -> None:
        """The ledger has these events no more, as when their days are dropped."""
        await self.backends.run(
            f"DELETE FROM ledger WHERE conversation_id = '{place.id}' AND seq <= {up_to}"
        )


class Talk:
    """What one user says to another, all of it acked."""

    def __init__(self, writer: ChatClient, to: Resident) -> None:
        self.place = chat(writer, to)
        self.ids: list[str] = []
        """Of its messages."""
        self.head = 0
        self._writer = writer
        self._to = to.name

    @property
    def said(self) -> list[str]:
        return [f"{n}" for n in range(len(self.ids))]

    async def say(self, times: int = 1) -> None:
        for _ in range(times):
            ack = await self._writer.send_direct(self._to, f"{len(self.ids)}")
            assert ack.id is not None and ack.seq is not None
            self.ids.append(ack.id)
            self.head = ack.seq

    async def say_until(self, claim: Callable[[], bool]) -> None:
        """Go on until something is so."""
        while not claim():
            await self.say()


@pytest.fixture(scope="module")
def scene(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with proxied() as proxy:
        settings = {"cassandra_hosts": f"127.0.0.1:{proxy.port}"}
        folder = tmp_path_factory.mktemp("node")
        with Node(folder, backends=backends, settings=settings) as node:
            yield Scene(node, backends, proxy)
            complaints = [line for line in node.complaints if AWAY not in line]
            assert complaints == []
            assert node.metric("chatd_holes_total") == 0


async def page_contents(client: ChatClient, place: Place, **cursor: int) -> list[str]:
    page = await frames.history(client, place, **cursor)
    return [message.content for message in page.messages]


async def whole(client: ChatClient, place: Place) -> list[HistoryMessage]:
    """All messages of the conversation."""
    found: list[HistoryMessage] = []
    while True:
        after = found[-1].seq if found else 0
        page = await frames.history(client, place, after=after)
        found += page.messages
        if not page.has_more:
            return found


@pytest.mark.parametrize("way", ["cut", "stall", "stall_replies"])
def test_sends_go_on_and_history_catches_up(scene: Scene, way: str) -> None:
    async def main() -> None:
        async with Town(scene.node) as town:
            ann, ben, cid = await town.settle_all("ann", "ben", "cid")
            writer, reader = await town.connect_all(ann, ben)
            talk, other = Talk(writer, ben), Talk(writer, cid)
            await talk.say(OLD)
            await other.say(OLD)
            await scene.has_stored_all()
            for place in (talk.place, other.place):
                await scene.forget(place, OLD)
            before = scene.failures
            getattr(scene.proxy, way)()
            try:
                # The first put that fails finds it out.
                await talk.say_until(lambda: scene.failures > before)
                await while_it_is_away(scene, town, writer, talk, other, ben, cid)
            finally:
                scene.proxy.heal()
            await talk.say_until(lambda: scene.unstored < FEW)
            await scene.has_stored_all()
            await everything_is_stored(scene, talk)
            await it_is_as_before(scene, town, writer, reader, talk, other, cid)

    run(main(), seconds=SECONDS)


@pytest.mark.parametrize("resumes", [False, True])
def test_recent_events_of_a_page_that_begins_with_old_ones(scene: Scene, resumes: bool) -> None:
    async def main() -> None:
        async with Town(scene.node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer, reader = await town.connect_all(ann, ben)
            talk = Talk(writer, ben)
            await talk.say(FEW)
            await frames.ack(reader, talk.place, FEW)
            await reader.close()
            await talk.say(FEW)
            # What this node keeps of the conversation in memory is dropped with it.
            await frames.delete(writer, talk.place, talk.ids[0])
            await scene.has_stored_all()
            await scene.forget(talk.place, FEW // 2)
            scene.proxy.cut()
            try:
                late = await town.connect(ben, resumes=resumes)
                if resumes:
                    came, _ = await frames.resume(late, {talk.place.id: FEW})
                    assert contents(came) == talk.said[FEW:]
                else:
                    assert contents(await take(late, OneToOneChat, FEW)) == talk.said[FEW:]
            finally:
                scene.proxy.heal()

    run(main())


async def while_it_is_away(
    scene: Scene,
    town: Town,
    writer: ChatClient,
    talk: Talk,
    other: Talk,
    ben: Resident,
    cid: Resident,
) -> None:
    await talk.say(2 * FEW)
    place, said = talk.place, talk.said
    # What is recent, all of it.
    assert await page_contents(writer, place, limit=FEW) == said[-FEW:]
    assert await page_contents(writer, place, after=OLD, limit=FEW) == said[OLD : OLD + FEW]
    late = await town.connect(ben, resumes=True)
    came, errors = await frames.resume(late, {place.id: OLD + 10})
    assert (contents(came), errors) == (said[OLD + 10 :], {})
    recent = talk.ids[-1]
    assert (await frames.edit(writer, place, recent, "edited")).version == 2
    await frames.react(late, place, recent, "🎉")
    # What is old: it is said that it is away.
    for before, after in ((OLD + 1, None), (None, 0), (None, OLD - 1)):
        page = requests.GetOneToOneHistory(chat_id=place.chat_id, before=before, after=after)
        assert await refusal(writer, page) is ErrorCode.UNAVAILABLE
    change = requests.EditMessage(chat_id=place.chat_id, id=talk.ids[0], content="edited")
    assert await refusal(writer, change) is ErrorCode.UNAVAILABLE
    await is_sent_away(town, cid)
    # Lists, with what is recent.
    data = await writer.init_data()
    by_peer = {one.peer: one for one in data.chats}
    assert by_peer.keys() == {ben.name, cid.name}
    last = by_peer[ben.name].last_message
    assert last is not None and (last.id, last.content) == (recent, "edited")
    assert by_peer[cid.name].last_seq == OLD
    assert by_peer[cid.name].last_message is None
    listed = await done(town, "GET", "/api/conversations", cid)
    assert [one["id"] for one in listed["conversations"]] == [other.place.id]
    # All of the time sends go on.
    assert scene.unstored > 2 * FEW


async def is_sent_away(town: Town, who: Resident) -> None:
    """Who lacks what is away is sent nothing beyond it, and is to come back."""
    with pytest.raises(ClientError) as ended:
        client = await town.connect(who)
        await client.next_push(OneToOneChat, timeout=None)
    if isinstance(ended.value, CannotConnect):
        code = ended.value.close_code
    else:
        assert isinstance(ended.value, ConnectionLost)
        code = ended.value.code
    assert code is not None and may_reconnect(code)


async def everything_is_stored(scene: Scene, talk: Talk) -> None:
    """In Cassandra, each once, and nothing else."""
    async with stored(scene.backends.settings) as there:
        events = await there.events(talk.place.id, head=talk.head)
    assert [event.seq for event in events] == list(range(1, talk.head + 1))
    messages = [event for event in events if event.kind is EventKind.DIRECT_MESSAGE]
    assert [message_id(talk.place.id, one.seq, one.nonce) for one in messages] == talk.ids
    assert len(events) == len(messages) + 2, "an edit and a reaction"


async def it_is_as_before(
    scene: Scene,
    town: Town,
    writer: ChatClient,
    reader: ChatClient,
    talk: Talk,
    other: Talk,
    cid: Resident,
) -> None:
    place = talk.place
    found = await whole(reader, place)
    assert [message.id for message in found] == talk.ids
    edited = [message for message in found if message.version != 1]
    assert [(one.content, one.reactions) for one in edited] == [("edited", {"🎉": [reader.user]})]
    # Cassandra alone tells the same as the ledger did.
    await scene.forget(place)
    assert await whole(writer, place) == found
    assert scene.holes == 0
    late = await town.connect(cid)
    assert contents(await take(late, OneToOneChat, OLD)) == other.said
    await frames.edit(writer, place, talk.ids[0], "edited")
    assert (await page_contents(reader, place, before=2)) == ["edited"]
