"""Two nodes that lose Redis: connecting, sending, acks and histories go on, and it all mends."""

from collections.abc import Iterator

import pytest

from protocol import requests
from protocol.model import PresenceStatus
from protocol.pushes import InitData, OneToOneChat, OneToOneChatHistory, PresenceUpdate
from testclients.client import ChatClient
from testclients.http import register
from tests.e2e.town import Town, chat_of
from tests.support.backends import Backends
from tests.support.loop import run, until
from tests.support.node import Node
from tests.support.proxy import Proxy

pytestmark = pytest.mark.slow
ONLINE, UNKNOWN = PresenceStatus.ONLINE, PresenceStatus.UNKNOWN


class Pair:
    """Two nodes on the same backends, with one way to Redis."""

    def __init__(self, here: Node, there: Node, proxy: Proxy) -> None:
        self.here = here
        self.there = there
        self.proxy = proxy


@pytest.fixture(scope="module")
def pair(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with Proxy.before(backends.settings["redis_url"]) as proxy:
        settings = {"redis_url": proxy.url}
        folders = (tmp_path_factory.mktemp(name) for name in ("here", "there"))
        here, there = (Node(one, backends=backends, settings=settings) for one in folders)
        with here, there:
            yield Pair(here, there, proxy)
            assert here.complaints == there.complaints == []


async def said(client: ChatClient, content: str) -> OneToOneChat:
    """The message with this content, which must be the next that is new."""
    frame = await client.next_push(OneToOneChat)
    assert frame.content == content
    return frame


async def is_told(client: ChatClient, of: str, status: PresenceStatus) -> None:
    await client.next_push(
        lambda frame: (
            isinstance(frame, PresenceUpdate) and (frame.username, frame.status) == (of, status)
        )
    )


@pytest.mark.parametrize("way", ["cut", "stall"])
def test_everything_but_presence_goes_on(pair: Pair, way: str) -> None:
    async def main() -> None:
        async with Town(pair.here) as here, Town(pair.there) as there:
            ann_lives, ben_lives = await here.settle("ann"), await there.settle("ben")
            ann, ben = await here.connect(ann_lives), await there.connect(ben_lives)
            await ann.send_direct(ben.user, "1")
            await said(ben, "1")
            await ben.send_direct(ann.user, "2")
            await said(ann, "2")
            await is_told(ann, ben.user, ONLINE)
            await is_told(ben, ann.user, ONLINE)
            getattr(pair.proxy, way)()
            try:
                await while_it_is_gone(pair, here, there, ann, ben)
                late = await there.connect(ben_lives)
                await is_told(late, ann.user, UNKNOWN)
            finally:
                pair.proxy.heal()
            await is_told(late, ann.user, ONLINE)
            await ann.send_direct(ben.user, "back")
            for client in (ben, late):
                await said(client, "back")

    async def while_it_is_gone(
        pair: Pair, here: Town, there: Town, ann: ChatClient, ben: ChatClient
    ) -> None:
        where = requests.OneToOneChat(to=ben.user, content="3", client_msg_id="three")
        first = await ann.send_direct(ben.user, where.content, where.client_msg_id)
        again = await ann.send_direct(ben.user, where.content, where.client_msg_id)
        assert (again.seq, again.duplicate) == (first.seq, True)
        message = await said(ben, "3")
        await ben.request(requests.Ack(chat_id=message.chat_id, seq=message.seq))
        login = await register(pair.there.http_url, f"carol{way}", "correct horse battery")
        assert login.user.username == f"carol{way}"
        data = await ben.request(requests.InitData())
        assert isinstance(data, InitData) and not data.chats[0].is_online
        chat = chat_of(ann, ben)
        page = await ann.request(requests.GetOneToOneHistory(chat_id=chat))
        assert isinstance(page, OneToOneChatHistory)
        assert [message.content for message in page.messages] == ["1", "2", "3"]
        await until(
            lambda: pair.here.metric("chatd_bus_dropped_total") > 0, "what it tells is dropped"
        )

    run(main(), seconds=60)


def test_after_a_flush_everybody_is_online_again(pair: Pair, backends: Backends) -> None:
    async def main() -> None:
        async with Town(pair.here) as here, Town(pair.there) as there:
            ann, ben = [*await here.online("ann"), *await there.online("ben")]
            await ann.send_direct(ben.user, "1")
            await said(ben, "1")
            await ben.send_direct(ann.user, "2")
            await is_told(ann, ben.user, ONLINE)
            backends.flush_redis()

            async def is_online() -> bool:
                data = await ann.request(requests.InitData())
                assert isinstance(data, InitData)
                return data.chats[0].is_online

            while not await is_online():
                await ann.ping()

    run(main(), seconds=60)
