"""What came in one packet with the upgrade request was lost, or answered before the 101."""

import asyncio

import pytest

from testclients import http
from tests.edge import raw
from tests.edge.listener import Listener, Undecided
from tests.edge.raw import PING, PONG, TEXT, Frame, RawClient, frame, upgrade
from tests.support.loop import run
from tests.support.node import Node


@pytest.mark.parametrize("is_decided_at_once", [True, False])
def test_it_is_answered_after_the_101_and_in_order(is_decided_at_once: bool) -> None:
    async def main() -> None:
        undecided = Undecided()
        knocked = None if is_decided_at_once else undecided.knocked
        async with Listener(knocked) as listener, await RawClient.connect(listener.port) as client:
            early = frame(TEXT, b"early") + frame(TEXT, b"bird")
            await client.send(upgrade() + early)
            if not is_decided_at_once:
                _, let_in = await undecided.next()
                let_in()
            assert (await client.answer()).status == 101
            assert await client.text() == b"early"
            assert await client.text() == b"bird"

    run(main(), debug=True)


@pytest.mark.parametrize("is_decided_at_once", [True, False])
def test_a_frame_of_which_only_the_beginning_came_with_it(is_decided_at_once: bool) -> None:
    async def main() -> None:
        undecided = Undecided()
        knocked = None if is_decided_at_once else undecided.knocked
        async with Listener(knocked) as listener:
            for one, other in raw.halves(upgrade() + frame(TEXT, b"early") + frame(PING, b"bird")):
                async with await RawClient.connect(listener.port) as client:
                    await client.send(one)
                    if not is_decided_at_once and b"\r\n\r\n" in one:
                        _, let_in = await undecided.next()
                        await client.send(other)
                        let_in()
                    else:
                        await client.send(other)
                        if not is_decided_at_once:
                            _, let_in = await undecided.next()
                            let_in()
                    assert (await client.answer()).status == 101
                    assert await client.frames(2) == ([b"early"], [b"bird"])

    run(main())


def test_a_ping_is_not_answered_before_the_101() -> None:
    async def main() -> None:
        undecided = Undecided()
        async with (
            Listener(undecided.knocked) as listener,
            await RawClient.connect(listener.port) as client,
        ):
            await client.send(upgrade() + frame(PING, b"early"))
            _, let_in = await undecided.next()
            let_in()
            assert (await client.answer()).status == 101
            assert await client.frame() == Frame(PONG, b"early")

    run(main(), debug=True)


@pytest.mark.parametrize(
    ("early", "code"),
    [
        pytest.param(raw.close(1000), 1000, id="close"),
        pytest.param(frame(TEXT, b"x", masked=False), 1002, id="against the protocol"),
    ],
)
@pytest.mark.parametrize("cut", range(6))
def test_an_end_is_no_end_before_the_101(cut: int, early: bytes, code: int) -> None:
    async def main() -> None:
        undecided = Undecided()
        async with (
            Listener(undecided.knocked) as listener,
            await RawClient.connect(listener.port) as client,
        ):
            request = upgrade()
            end = len(request) - cut if cut else 0
            if end:
                await client.send(request[:end])
                async with await RawClient.connect(listener.port) as other:
                    # When it was cut off, the first piece has been read: the second comes alone.
                    await other.send(b"\n")
                    assert await other.cut() == b""
            await client.send(request[end:] + early)
            _, let_in = await undecided.next()
            let_in()
            assert (await client.answer()).status == 101
            assert await client.close_code() == code
            client.writer.close()
            await asyncio.wait_for(listener.all_lost(), 5)

    run(main(), debug=True)


def test_the_daemon_answers_it_after_info(node: Node) -> None:
    async def main() -> None:
        login = await http.register(node.http_url, "early.bird", "correct horse")
        async with await RawClient.connect(node.chat_port) as client:
            headers = {"Authorization": f"Bearer {login.token}"}
            pings = b"".join(frame(TEXT, b'{"type":"PING","ref":"%d"}' % n) for n in range(5))
            await client.send(upgrade(headers=headers) + pings)
            assert (await client.answer()).status == 101
            assert b'"INFO"' in await client.text()
            for number in range(5):
                assert await client.text() == b'{"type":"PONG","ref":"%d"}' % number

    run(main())
