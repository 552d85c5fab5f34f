"""chatd.fabric.webhook_sender_aiohttp: what leaves, where it may go, and what becomes of it."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chatd.fabric import webhook_sender_aiohttp as module
from chatd.fabric.offline_queue import TryAgain
from chatd.fabric.webhook_sender import AddressRefused
from chatd.fabric.webhook_sender_aiohttp import FAILURES, AiohttpWebhookSender
from tests.support.certificate import self_signed
from tests.support.receiver import Receiver
from tests.support.running import on_a_loop, until

LOOPBACK = ["127.0.0.0/8"]
BODY = b'{"event":"offline"}'


@asynccontextmanager
async def sender(*allow: str) -> AsyncIterator[AiohttpWebhookSender]:
    made = AiohttpWebhookSender(allow)
    try:
        yield made
    finally:
        await made.close()


async def post(sending: AiohttpWebhookSender, url: str, *, is_trusted: bool = False) -> int:
    return await sending.post(url, BODY, {"webhook-id": "msg_1"}, is_trusted=is_trusted)


@on_a_loop
async def test_what_is_sent_arrives_and_the_status_comes_back() -> None:
    with Receiver() as receiver:
        receiver.answers = [204, 503, 410, 200]
        async with sender(*LOOPBACK) as sending:
            url = f"{receiver.url}?to=x%2Fy"
            assert [await post(sending, url) for _ in range(4)] == [204, 503, 410, 200]
        assert [told.body for told in receiver.told] == [BODY] * 4
        told = receiver.told[0]
        assert told.path == "/hook?to=x%2Fy"
        assert told.headers["webhook-id"] == "msg_1"
        assert told.headers["user-agent"].startswith("chatd/")
        assert told.headers["host"] == f"127.0.0.1:{receiver.port}"
        assert not told.headers.keys() & {"cookie", "authorization", "referer"}


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "2130706433",
        "0",
        "localhost",
        "LOCALHOST.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::]",
    ],
)
@on_a_loop
async def test_this_machine_is_not_reached_however_it_is_written(host: str) -> None:
    with Receiver() as receiver:
        async with sender("10.0.0.0/8") as sending:
            with pytest.raises((AddressRefused, TryAgain)):
                await post(sending, f"http://{host}:{receiver.port}/")
        assert receiver.told == []


@on_a_loop
async def test_the_operator_may_have_it_told_anywhere() -> None:
    with Receiver() as receiver:
        async with sender() as sending:
            with pytest.raises(AddressRefused):
                await post(sending, receiver.url)
            assert await post(sending, receiver.url, is_trusted=True) == 200
            with pytest.raises(AddressRefused):
                await post(sending, receiver.url)
        assert len(receiver.told) == 1


class Names:
    """What names lead to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Sequence[str]) -> None:
        """The answers come one after the other, then again."""
        self.asked = 0
        self._answers = answers
        monkeypatch.setattr(socket, "getaddrinfo", self._answer)

    def _answer(self, host: str, port: int, **options: Any) -> list[Any]:
        addresses = self._answers[self.asked % len(self._answers)]
        self.asked += 1
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses
        ]


@on_a_loop
async def test_a_name_that_leads_elsewhere_when_it_is_asked_again_leads_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = 0
    with Receiver() as forbidden, Receiver("127.0.0.2", forbidden.port) as allowed:
        names = Names(monkeypatch, ["127.0.0.2"], ["127.0.0.1"])
        for _ in range(6):
            # What a sender has found out, and its connections, are not the next one's.
            async with sender("127.0.0.2") as sending:
                try:
                    await post(sending, f"http://rebind.test:{forbidden.port}/")
                except AddressRefused:
                    refused += 1
        assert (names.asked, refused, len(allowed.told)) == (6, 3, 3)
        assert forbidden.told == []


@on_a_loop
async def test_of_several_addresses_only_those_that_are_allowed_are_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Receiver() as forbidden, Receiver("127.0.0.2", forbidden.port) as allowed:
        Names(monkeypatch, ["127.0.0.1", "127.0.0.2"], ["127.0.0.1", "127.0.0.3"])
        async with sender("127.0.0.2") as sending:
            assert await post(sending, f"http://two.test:{forbidden.port}/") == 200
        async with sender("127.0.0.2") as sending:
            with pytest.raises(AddressRefused):
                await post(sending, f"http://two.test:{forbidden.port}/")
        assert (len(allowed.told), forbidden.told) == (1, [])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@on_a_loop
async def test_redirects_are_not_followed(status: int) -> None:
    with Receiver() as receiver, Receiver() as elsewhere:
        receiver.answers = [status]
        receiver.answer_headers = {"Location": elsewhere.url}
        async with sender(*LOOPBACK) as sending:
            assert await post(sending, receiver.url) == status
        assert elsewhere.told == []


@on_a_loop
async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver() as receiver, Receiver() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        async with sender(*LOOPBACK) as sending:
            assert await post(sending, receiver.url) == 200
        assert proxy.told == []


@asynccontextmanager
async def answering(*chunks: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The URL of a server that says the first chunks once and then the last for ever."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.writelines(chunks[:-1])
            while chunks[-1]:
                writer.write(chunks[-1])
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    try:
        scheme = "http" if tls is None else "https"
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


@on_a_loop
async def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    async with (
        answering(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65_536) as url,
        sender(*LOOPBACK) as sending,
    ):
        assert await post(sending, url) == 200


@pytest.mark.parametrize(
    "chunks",
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"x" * 1000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"x" * 65_536),
        (b"HTTP/1.1 20", b""),
        (b"SSH-2.0-OpenSSH\r\n", b""),
        (b"", b""),
    ],
    ids=["headers without end", "a header without end", "cut", "no HTTP", "nothing"],
)
@on_a_loop
async def test_an_answer_that_is_none_may_come_later(chunks: tuple[bytes, ...]) -> None:
    async with answering(*chunks) as url, sender(*LOOPBACK) as sending:
        with pytest.raises(TryAgain):
            await post(sending, url)


@on_a_loop
async def test_no_answer_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.05)
    with Receiver() as receiver:
        receiver.is_open.clear()
        async with sender(*LOOPBACK) as sending:
            with pytest.raises(TryAgain, match=r"127\.0\.0\.1 did not answer within"):
                await post(sending, receiver.url)


@on_a_loop
async def test_nobody_listens() -> None:
    with Receiver() as receiver:
        url = receiver.url
    async with sender(*LOOPBACK) as sending:
        with pytest.raises(TryAgain, match="cannot be reached"):
            await post(sending, url)


@on_a_loop
async def test_a_certificate_of_nobodys_is_not_taken() -> None:
    async with (
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", tls=self_signed()) as url,
        sender(*LOOPBACK) as sending,
    ):
        for is_trusted in (False, True):
            with pytest.raises(TryAgain):
                await post(sending, url, is_trusted=is_trusted)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nowhere",
        "http://",
        "http://[::1",
        "http://a:99999/",
        "/",
        "http://a/\r\nX: y",
        "http://ä",
    ],
)
@on_a_loop
async def test_what_is_no_url(url: str) -> None:
    async with sender(*LOOPBACK) as sending:
        with pytest.raises(AddressRefused):
            await post(sending, url)


@on_a_loop
async def test_a_host_that_does_not_answer_is_left_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.05)
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.5)
    with Receiver() as receiver, Receiver() as other:
        receiver.is_open.clear()
        async with sender(*LOOPBACK) as sending:
            for _ in range(FAILURES):
                with pytest.raises(TryAgain, match="within"):
                    await post(sending, receiver.url)
            with pytest.raises(TryAgain, match="lately"):
                await post(sending, receiver.url)
            assert await post(sending, other.url) == 200
            monkeypatch.setattr(module, "SECONDS", 5)
            receiver.is_open.set()
            statuses: list[int] = []

            async def try_again() -> None:
                while not statuses:
                    try:
                        statuses.append(await post(sending, receiver.url))
                    except TryAgain:
                        await asyncio.sleep(0)

            await try_again()
            assert statuses == [200]
            await until(lambda: len(receiver.told) == FAILURES + 1)


@on_a_loop
async def test_a_host_that_answers_is_not_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.05)
    with Receiver() as receiver:
        async with sender(*LOOPBACK) as sending:
            for _ in range(3):
                receiver.is_open.clear()
                for _ in range(FAILURES - 1):
                    with pytest.raises(TryAgain, match="within"):
                        await post(sending, receiver.url)
                receiver.is_open.set()
                monkeypatch.setattr(module, "SECONDS", 5)
                assert await post(sending, receiver.url) == 200
                monkeypatch.setattr(module, "SECONDS", 0.05)


@on_a_loop
async def test_so_many_hosts_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HOSTS", 3)
    async with sender() as sending:
        for n in range(10):
            with pytest.raises(AddressRefused):
                await post(sending, f"http://127.0.0.{n + 1}:9/")
        assert len(sending._hosts) <= 3
