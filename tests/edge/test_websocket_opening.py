"""How connections begin: libraries, browsers, requests in pieces, and what is no request."""

import asyncio
import socket as sockets
import struct
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from chatd.edge import websocket
from protocol.close import CloseCode
from tests.edge import raw
from tests.edge.listener import Ear, Listener, Undecided
from tests.edge.raw import PING, PONG, TEXT, Frame, RawClient, frame, request, upgrade
from tests.support.loop import run

CHROMIUM = {
    "Host": "127.0.0.1:4000",
    "Connection": "Upgrade",
    "Pragma": "no-cache",
    "Cache-Control": "no-cache",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/141.0.0.0 Safari/537.36",
    "Upgrade": "websocket",
    "Origin": "http://127.0.0.1:3000",
    "Sec-WebSocket-Version": "13",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-US,en;q=0.9",
    "Cookie": "theme=dark; a=b",
    "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
    "Sec-WebSocket-Protocol": "chat.v1, bearer.aaa.bbb-_.ccc",
}
FIREFOX = {
    "Host": "localhost:4000",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "*/*",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Sec-WebSocket-Version": "13",
    "Origin": "http://localhost:3000",
    "Sec-WebSocket-Protocol": "chat.v1, bearer.aaa.bbb-_.ccc",
    "Sec-WebSocket-Extensions": "permessage-deflate",
    "Connection": "keep-alive, Upgrade",
    "Sec-Fetch-Dest": "empty",
    "Sec-Fetch-Mode": "websocket",
    "Sec-Fetch-Site": "same-site",
    "Pragma": "no-cache",
    "Cache-Control": "no-cache",
    "Upgrade": "websocket",
}
KEY = {"Sec-WebSocket-Key": raw.new_key()}
UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"} | KEY
NO_UPGRADE = {"Host": "127.0.0.1", "Accept": "text/html"}


def test_a_library_that_offers_compression_is_served_without() -> None:
    async def main() -> None:
        async with Listener() as listener:
            url = f"ws://127.0.0.1:{listener.port}/"
            offered = [Subprotocol("chat.v1"), Subprotocol("bearer.abc")]
            async with connect(url, subprotocols=offered, proxy=None) as client:
                assert client.subprotocol == "chat.v1"
                assert client.protocol.extensions == []
                for text in ("", "hi", "grüße \U0001f44b", "x" * 70_000):
                    await client.send(text)
                    assert await client.recv() == text
                await client.send(b"\0\1")
                assert await client.recv() == "binary"
                await (await client.ping(b"are you there"))
            assert client.close_code == 1000
            assert await listener.ear.ended

    run(main(), debug=True)


@pytest.mark.parametrize("headers", [CHROMIUM, FIREFOX], ids=["chromium", "firefox"])
def test_a_browser_is_answered_with_chat_v1_alone(headers: dict[str, str]) -> None:
    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            key = raw.new_key()
            await client.send(request("/", headers | {"Sec-WebSocket-Key": key}))
            answer = await client.answer()
            assert answer.status == 101
            assert answer.headers["upgrade"] == "websocket"
            assert answer.headers["connection"].lower() == "upgrade"
            assert answer.headers["sec-websocket-accept"] == raw.accept_of(key)
            assert answer.headers["sec-websocket-protocol"] == "chat.v1"
            assert "sec-websocket-extensions" not in answer.headers
            await client.send(frame(TEXT, b"hi"))
            assert await client.text() == b"hi"

    run(main(), debug=True)


def test_a_client_without_subprotocols_is_selected_none() -> None:
    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            assert "sec-websocket-protocol" not in (await client.open()).headers

    run(main(), debug=True)


def test_a_request_may_come_byte_by_byte() -> None:
    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            await client.send(*(bytes([byte]) for byte in request("/", CHROMIUM | KEY)))
            assert (await client.answer()).status == 101
            assert listener.knocks == 1

    run(main(), debug=True)


def test_a_request_may_come_in_any_two_halves() -> None:
    async def main() -> None:
        async with Listener() as listener:
            for one, other in raw.halves(upgrade()):
                async with await RawClient.connect(listener.port) as client:
                    await client.send(one, other)
                    assert (await client.answer()).status == 101

    run(main())


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(request("/", NO_UPGRADE), 426, id="plain GET"),
        pytest.param(request("/", UPGRADE, "POST"), 405, id="POST"),
        pytest.param(request("/", NO_UPGRADE | {"Content-Length": "0"}, "POST"), 405, id="a form"),
        pytest.param(upgrade(headers={"Connection": "keep-alive"}), 426, id="not to upgrade"),
        pytest.param(upgrade(headers={"Upgrade": "h2c"}), 426, id="to something else"),
        pytest.param(upgrade(headers={"Sec-WebSocket-Version": "8"}), 400, id="old version"),
        pytest.param(upgrade(headers={"Sec-WebSocket-Key": "short"}), 400, id="bad key"),
        pytest.param(upgrade().replace(b"HTTP/1.1", b"HTTP/1.0"), 505, id="HTTP/1.0"),
        pytest.param(upgrade(headers={"Cookie": "c" * 8192}), 431, id="header too long"),
        pytest.param(upgrade(headers={f"X-{n}": "" for n in range(140)}), 431, id="many headers"),
        pytest.param(upgrade("/" + "p" * 8192), 414, id="path too long"),
        pytest.param(b"\0" * 10_000, 414, id="no lines at all"),
    ],
)
def test_what_is_no_upgrade_is_answered_and_never_knocks(sent: bytes, status: int) -> None:
    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            await client.send(sent)
            answer = await client.answer()
            assert answer.status == status
            await client.end()
            assert listener.knocks == 0
            if status == HTTPStatus.METHOD_NOT_ALLOWED:
                assert answer.headers["allow"] == "GET"
            if status == HTTPStatus.UPGRADE_REQUIRED:
                assert answer.headers["upgrade"] == "websocket"

    run(main(), debug=True)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"\n", id="empty line"),
        pytest.param(b"hello\r\n", id="a word"),
        pytest.param(b"GET / HTTP/2.0\r\n\r\n", id="another HTTP"),
        pytest.param(b"GET / HTTP/1.1\r\nno colon\r\n\r\n", id="no header"),
        pytest.param("GET /ü HTTP/1.1\r\n\r\n".encode(), id="not ASCII"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n" + bytes(32), id="TLS"),
        pytest.param(b"SSH-2.0-OpenSSH_9.9\r\n", id="SSH"),
        pytest.param(frame(TEXT, b"no handshake\n", masked=False), id="a frame"),
    ],
)
def test_garbage_is_cut_off(sent: bytes) -> None:
    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            await client.send(sent)
            assert await client.cut() == b""
            assert listener.knocks == 0

    run(main(), debug=True)


def test_a_client_that_goes_before_its_request_is_whole_is_forgotten() -> None:
    async def main() -> None:
        async with Listener() as listener:
            for piece in (b"", upgrade()[:40]):
                async with await RawClient.connect(listener.port) as client:
                    await client.send(piece)
                    client.writer.write_eof()
                    assert await client.cut() == b""
            await listener.all_lost()
            assert len(listener.gone) == 2

    run(main(), debug=True)


def test_a_handshake_that_never_ends_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        undecided = Undecided()
        async with Listener() as listener, Listener(undecided.knocked) as slow:
            async with (
                await RawClient.connect(listener.port) as opened,
                await RawClient.connect(listener.port) as unfinished,
                await RawClient.connect(slow.port) as waiting,
            ):
                await opened.open()
                await unfinished.send(upgrade()[:-1])
                await waiting.send(upgrade())
                assert await unfinished.cut() == b""
                assert await waiting.cut() == b"", "the gate's time counts too"
                await opened.send(frame(TEXT, b"still here"))
                assert await opened.text() == b"still here", "the limit is the handshake's alone"

    monkeypatch.setattr(websocket, "HANDSHAKE_SECONDS", 0.1)
    run(main(), debug=True)


def test_what_is_sent_before_the_decision_is_answered_after_it() -> None:
    async def main() -> None:
        undecided = Undecided()
        async with (
            Listener(undecided.knocked) as listener,
            await RawClient.connect(listener.port) as client,
        ):
            await client.send(upgrade())
            _, let_in = await undecided.next()
            await client.send(frame(TEXT, b"early"), frame(PING, b"bird"))
            let_in()
            assert (await client.answer()).status == 101
            assert await client.text() == b"early"
            assert await client.frame() == Frame(PONG, b"bird")

    run(main(), debug=True)


def test_nothing_is_heard_before_the_receiver_is_ready() -> None:
    accepted: list[Any] = []

    def accept(listener: Listener, socket: websocket.WebSocket, _: object) -> None:
        ear = Ear(socket)
        listener.ears.append(ear)
        socket.accept(ear, None)
        accepted.append(socket)

    async def main() -> None:
        async with Listener(accept) as listener, await RawClient.connect(listener.port) as client:
            await client.open()
            await client.send(frame(TEXT, b"one"))
            async with await RawClient.connect(listener.port) as other:
                # Takes several turns of the loop, in which the text could have been heard.
                await other.open()
            assert listener.ears[0].heard == []
            accepted[0].start_reading()
            assert await client.text() == b"one"

    run(main(), debug=True)


def test_a_refusal_is_an_http_answer() -> None:
    def refuse(_: Listener, socket: websocket.WebSocket, __: object) -> None:
        socket.refuse(HTTPStatus.UNAUTHORIZED, "say who you are", {"WWW-Authenticate": "Bearer"})
        socket.refuse(HTTPStatus.FORBIDDEN, "only the first decision counts")

    async def main() -> None:
        async with Listener(refuse) as listener:
            async with await RawClient.connect(listener.port) as client:
                await client.send(upgrade())
                answer = await client.answer()
                assert (answer.status, answer.body) == (401, b"say who you are\n")
                assert answer.headers["www-authenticate"] == "Bearer"
                assert answer.headers["connection"] == "close"
                await client.end()
            with pytest.raises(InvalidStatus, match="401"):
                async with connect(f"ws://127.0.0.1:{listener.port}/", proxy=None):
                    pass

    run(main(), debug=True)


@pytest.mark.parametrize("is_let_in", [True, False])
def test_a_client_that_goes_while_the_gate_decides(is_let_in: bool) -> None:
    async def main() -> None:
        undecided = Undecided()
        async with Listener(undecided.knocked) as listener:
            async with await RawClient.connect(listener.port) as client:
                await client.send(upgrade())
                socket, let_in = await undecided.next()
                sock = client.writer.get_extra_info("socket")
                sock.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
            if is_let_in:
                let_in()
                assert not await listener.ear.ended
            else:
                socket.refuse(HTTPStatus.UNAUTHORIZED, "too late")
            await listener.all_lost()

    run(main(), debug=True)


def test_a_gate_may_close_instead_of_deciding() -> None:
    async def main() -> None:
        undecided = Undecided()
        async with (
            Listener(undecided.knocked) as listener,
            await RawClient.connect(listener.port) as client,
        ):
            await client.send(upgrade())
            socket, _ = await undecided.next()
            socket.close(CloseCode.DRAIN)
            assert await client.cut() == b""
            await asyncio.wait_for(listener.all_lost(), 5)

    run(main(), debug=True)
