"""How connections end: by whom, in what order, and in a bounded time whatever the client does."""

import asyncio

import pytest

from chatd.edge import websocket
from chatd.edge.websocket import WebSocket
from protocol.close import CLOSES, CloseCode
from tests.edge import raw
from tests.edge.listener import Ear, Listener
from tests.edge.raw import CLOSE, CONT, PING, PONG, TEXT, Frame, RawClient, frame
from tests.support.loop import run


@pytest.mark.parametrize(
    "code", [None, 1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 4000, 4999]
)
def test_a_client_that_closes_is_answered_with_its_code(code: int | None) -> None:
    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            await client.open()
            await client.send(frame(TEXT, b"last") + raw.close(code) + frame(TEXT, b"not heard"))
            assert await client.text() == b"last"
            assert await client.close_code() == code
            client.writer.close()
            assert await listener.ear.ended, "close frames went both ways"
            assert listener.ear.heard == [b"last"]

    run(main(), debug=True)


def test_a_reason_is_given_back_and_must_be_utf_8() -> None:
    async def main() -> None:
        async with Listener() as listener:
            async with await RawClient.connect(listener.port) as client:
                await client.open()
                await client.send(raw.close(4000, "tschüß".encode()))
                assert await client.frame() == Frame(CLOSE, b"\x0f\xa0" + "tschüß".encode())
                await client.end()
            async with await RawClient.connect(listener.port) as client:
                await client.open()
                await client.send(raw.close(4000, b"\xff"))
                assert await client.close_code() == 1007

    run(main(), debug=True)


@pytest.mark.parametrize("code", list(CloseCode))
def test_the_server_closes_with_code_and_reason_and_waits_for_the_answer(code: CloseCode) -> None:
    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            await client.open()
            listener.sockets[0].close(code)
            assert listener.ear.is_closing
            reason = CLOSES[code].reason.encode()
            assert await client.frame() == Frame(CLOSE, code.to_bytes(2, "big") + reason)
            await client.send(frame(TEXT, b"crossed"), frame(PING, b"x"), raw.close(code))
            assert await client.frame() == Frame(PONG, b"x")
            await client.end()
            client.writer.close()
            assert await listener.ear.ended
            assert listener.ear.heard == []

    run(main(), debug=True)


def test_closing_twice_is_closing_once() -> None:
    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            await client.open()
            socket = listener.sockets[0]
            socket.close(CloseCode.DRAIN)
            socket.close(CloseCode.SLOW_CONSUMER)
            socket.fail(CloseCode.NOT_UTF8)
            assert (await client.frame()).code == CloseCode.DRAIN
            await client.send(raw.close(1001))
            await client.end()
            client.writer.close()
            assert await listener.ear.ended
            socket.close(CloseCode.DRAIN)

    run(main(), debug=True)


def test_both_may_close_at_once() -> None:
    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            await client.open()
            await client.send(raw.close(3000))
            listener.sockets[0].close(CloseCode.BYE)
            assert await client.close_code() == CloseCode.BYE
            client.writer.close()
            assert await listener.ear.ended

    run(main(), debug=True)


def test_a_connection_that_failed_hears_nothing_more() -> None:
    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            await client.open()
            listener.sockets[0].fail(CloseCode.NOT_UTF8)
            await client.send(frame(TEXT, b"not heard"), frame(PING), raw.close())
            assert await client.close_code() == 1007
            client.writer.close()
            assert not await listener.ear.ended
            assert listener.ear.heard == []

    run(main(), debug=True)


def test_a_message_may_close_the_connection_that_brought_it() -> None:
    class Doorkeeper(Ear):
        def message(self, data: bytes | bytearray) -> None:
            super().message(data)
            if data == b"enough":
                self.socket.close(CloseCode.PROTOCOL_ABUSE)

    def let_in(listener: Listener, socket: WebSocket, _: object) -> None:
        ear = Doorkeeper(socket)
        listener.ears.append(ear)
        socket.accept(ear, None)
        socket.start_reading()

    async def main() -> None:
        async with Listener(let_in) as listener, await RawClient.connect(listener.port) as client:
            await client.open()
            await client.send(frame(TEXT, b"one") + frame(TEXT, b"enough") + frame(TEXT, b"three"))
            assert await client.text() == b"one"
            assert await client.text() == b"enough"
            assert (await client.frame()).code == CloseCode.PROTOCOL_ABUSE
            client.writer.close()
            await listener.all_lost()
            assert listener.ear.heard == [b"one", b"enough"]

    run(main(), debug=True)


@pytest.mark.parametrize("is_reading", [True, False])
def test_a_client_that_never_answers_the_close_is_cut(
    is_reading: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "CLOSE_SECONDS", 0.1)

    async def main() -> None:
        async with (
            Listener() as listener,
            await RawClient.connect(listener.port, reads_ahead=is_reading) as client,
        ):
            await client.open()
            socket = listener.sockets[0]
            if not is_reading:
                socket.transport.write(b"\x89\x00" * 4_000_000)
                assert socket.transport.get_write_buffer_size()
            socket.close(CloseCode.DRAIN)
            assert not await listener.ear.ended

    run(main(), debug=True)


def test_a_client_that_keeps_its_side_open_after_the_closes_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket, "CLOSE_SECONDS", 0.1)

    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            await client.open()
            await client.send(raw.close())
            assert await client.close_code() == 1000
            assert await listener.ear.ended, "the close itself was clean"

    run(main(), debug=True)


def test_half_closed_by_the_client_everything_sent_is_heard_and_answered() -> None:
    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            await client.open()
            await client.send(frame(TEXT, b"one") + frame(PING, b"x") + frame(TEXT, b"two"))
            client.writer.write_eof()
            assert await client.frames(3) == ([b"one", b"two"], [b"x"])
            await client.end()
            assert not await listener.ear.ended, "without close frames nothing is known to be read"

    run(main(), debug=True)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="between frames"),
        pytest.param(frame(TEXT, b"cut")[:-1], id="in a frame"),
        pytest.param(frame(TEXT, b"x", fin=False) + frame(CONT, fin=False), id="in a message"),
    ],
)
def test_a_connection_that_breaks_is_not_clean(sent: bytes) -> None:
    async def main() -> None:
        async with Listener() as listener:
            async with await RawClient.connect(listener.port) as client:
                await client.open()
                await client.send(sent, frame(PING, b"x") if not sent else b"")
                if not sent:
                    assert await client.frame() == Frame(PONG, b"x")
            assert not await listener.ear.ended
            assert listener.ear.heard == []

    run(main(), debug=True)


def test_many_connections_end_in_any_order() -> None:
    async def main() -> None:
        async with Listener() as listener:

            async def live(number: int) -> None:
                async with await RawClient.connect(listener.port) as client:
                    await client.open()
                    text = b"%d" % number
                    await client.send(frame(TEXT, text))
                    assert await client.text() == text
                    if number % 3:
                        await client.send(raw.close())
                        assert await client.close_code() == 1000

            await asyncio.gather(*(live(number) for number in range(60)))
            await listener.all_lost()
            ends = [await ear.ended for ear in listener.ears]
            assert ends.count(True) == 40

    run(main(), debug=True)
