"""Limits of frames: who sends too fast is told to wait, who does not wait is closed."""

import asyncio
from collections.abc import Iterator

import pytest

from protocol import requests
from protocol.close import CloseCode, may_reconnect
from protocol.errors import ErrorCode
from protocol.pushes import Error, OneToOneChat, Pong, ServerFrame
from testclients.client import ChatClient
from testclients.errors import ConnectionLost
from tests.e2e.town import Town, everything
from tests.support.loop import run
from tests.support.node import Node

BURST = 500
"""Frames of a connection at once; the connections of a user together have twice as many."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """As everybody has it, with limits."""
    folder = tmp_path_factory.mktemp("node")
    with Node(folder, settings={"rate_limits": "on"}) as node:
        yield node
        assert node.complaints == []


async def answers(client: ChatClient, request: requests.Request, count: int) -> list[ServerFrame]:
    """Send a request as often as that, at once, and take as many answers."""
    for _ in range(count):
        await client.send(request)
    return [await client.next_push() for _ in range(count)]


def test_who_sends_too_fast_is_told_to_wait_and_then_served(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            ping = requests.Ping(ref="p")
            came = await answers(ann, ping, BURST + 100)
            refused = [frame for frame in came if isinstance(frame, Error)]
            assert 0 < len(refused) <= 100
            for error in refused:
                assert (error.code, error.temporary, error.ref) == (
                    ErrorCode.RATE_LIMITED,
                    True,
                    "p",
                )
                assert error.retry_after_ms is not None and error.retry_after_ms > 0
            assert isinstance(came[0], Pong) and isinstance(came[-1], Error)
            await ben.send_direct(ann.user, "others are not concerned, and reach it")
            assert isinstance(await ann.next_push(), OneToOneChat)
            # It waits as long as the last answer said, and is served.
            wait_ms = refused[-1].retry_after_ms or 0
            assert wait_ms < 10_000
            await asyncio.sleep(wait_ms / 1000)
            assert (await ann.init_data()).chats[0].last_seq == 1

    run(main())


def test_who_goes_on_is_closed(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            (ann,) = await town.online("ann")
            with pytest.raises(ConnectionLost):
                while True:
                    await ann.send(requests.Ping())
                    await asyncio.sleep(0)
            assert await ann.closed == CloseCode.FLOODING
            assert ann.close_reason == "flooding"
            assert may_reconnect(CloseCode.FLOODING)
            came = ann.take_all()
            refused = [frame for frame in came if isinstance(frame, Error)]
            assert len(came) - len(refused) >= BURST
            assert {error.code for error in refused} == {ErrorCode.RATE_LIMITED}

    run(main())


def test_malformed_frames_count_too(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            (ann,) = await town.online("ann")
            for _ in range(BURST // 5 + 50):
                for _ in range(4):
                    await ann.send_raw("{")
                await ann.send(requests.Ping())
            came = [await ann.next_push() for _ in range(BURST + 250)]
            codes = {frame.code for frame in came if isinstance(frame, Error)}
            assert codes == {ErrorCode.MALFORMED_FRAME, ErrorCode.RATE_LIMITED}

    run(main())


def test_the_connections_of_a_user_share_a_limit(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann = await town.settle("ann")
            clients = [await town.connect(ann) for _ in range(4)]
            came = await asyncio.gather(
                *(answers(client, requests.Ping(), BURST - 100) for client in clients)
            )
            refused = [frame for frames in came for frame in frames if isinstance(frame, Error)]
            # None of them alone has sent too much.
            assert refused
            assert {error.code for error in refused} == {ErrorCode.RATE_LIMITED}
            for client in clients:
                assert client.close_code is None

    run(main())


def test_cursors_cost_little(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            ack = await ann.send_direct(ben.user, "hello")
            for _ in range(BURST):
                await ben.send(requests.Ack(chat_id=ack.chat_id, seq=1))
                await ben.send(requests.MarkRead(chat_id=ack.chat_id, seq=1))
            refused = [frame for frame in await everything(ben) if isinstance(frame, Error)]
            assert refused == []

    run(main())


def test_what_is_refused_is_not_done(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            request = requests.OneToOneChat(to=ben.user, content="again and again")
            for _ in range(BURST + 100):
                await ann.send(request)
            came = [await ann.next_push() for _ in range(BURST + 100)]
            refused = [frame for frame in came if isinstance(frame, Error)]
            assert 0 < len(refused) <= 100
            (chat,) = (await ben.init_data()).chats
            assert chat.last_seq == BURST + 100 - len(refused)

    run(main())
