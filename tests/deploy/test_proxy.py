"""Clients through HAProxy, as docker-compose.yml has it, to two nodes. The nodes are embedded: they
share no data, and what is asked here does not need it."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pytest

from chatd import demo
from chatd.auth import Tokens
from chatd.ids import new_device_id
from protocol.close import CloseCode
from protocol.limits import CONTENT_BYTES
from protocol.pushes import OneToOneChat
from testclients import http
from testclients.client import ChatClient
from testclients.errors import CannotConnect
from testclients.handshake import TokenBy
from tests.deploy.haproxy import Place, Proxy, status
from tests.edge.raw import RawClient
from tests.support.loop import SECONDS, run, until
from tests.support.node import Node

SECRET: Final = "0123456789abcdef" * 4

pytestmark = pytest.mark.slow


def token(username: str) -> str:
    """Good on every node."""
    return Tokens(SECRET.encode()).sign(username, new_device_id(), time.time_ns() // 1_000_000)


def places(nodes: list[Node]) -> dict[tuple[str, str], Place]:
    one, two = nodes
    return {
        ("http", "chatd1"): Place(one.http_port, one.http_port),
        ("http", "chatd2"): Place(two.http_port, two.http_port),
        ("chat", "chatd1"): Place(one.chat_port, one.http_port),
        ("chat", "chatd2"): Place(two.chat_port, two.http_port),
        ("presence", "presence"): Place(two.presence_port, two.http_port),
    }


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    settings = {"jwt_secret": SECRET}
    with (
        Node(tmp_path_factory.mktemp("one"), settings=settings, demo=True) as one,
        Node(tmp_path_factory.mktemp("two"), settings=settings, demo=True) as two,
    ):
        yield [one, two]


@pytest.fixture(scope="module")
def proxy(nodes: list[Node], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with Proxy(tmp_path_factory.mktemp("proxy"), places(nodes)) as proxy:
        yield proxy


class Guests:
    """Clients that come through the proxy. For `async with`: on leaving all are closed."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._clients: list[ChatClient] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await asyncio.gather(*(client.close() for client in self._clients))

    async def connect(self, username: str, door: str = "chat", **more: Any) -> ChatClient:
        """One client; `more` as for it."""
        more.setdefault("token", token(username))
        client = await ChatClient.connect(self._proxy.url(door), **more)
        self._clients.append(client)
        return client

    async def on_both(self, username: str) -> list[ChatClient]:
        """Two clients of a user, on different nodes."""
        found: dict[str, ChatClient] = {}
        async with asyncio.timeout(SECONDS):
            while len(found) < 2:
                client = await self.connect(username)
                # Embedded, every node has a log of its own.
                found.setdefault(client.info.log_id, client)
        return list(found.values())


async def ended(clients: list[ChatClient]) -> list[int]:
    """How those were closed that the server closed; waits for the first."""
    await until(lambda: any(client.closed.done() for client in clients), "a close arrives")
    return [await client.closed for client in clients if client.closed.done()]


def test_a_message_goes_through(proxy: Proxy) -> None:
    async def main() -> None:
        async with Guests(proxy) as guests:
            for client in await guests.on_both("alice"):
                ack = await client.send_direct("bob", "hello")
                assert ack.chat_id == "alice-bob"
            # Which node bob comes to is the proxy's choice; both have something for him.
            bob = await guests.connect("bob")
            assert (await bob.next_push(OneToOneChat)).content == "hello"

    run(main())


def test_a_frame_as_long_as_can_be_goes_through(proxy: Proxy) -> None:
    async def main() -> None:
        async with Guests(proxy) as guests:
            alice = await guests.connect("alice")
            ack = await alice.send_direct("charlie", "x" * CONTENT_BYTES)
            assert ack.seq is not None

    run(main())


@pytest.mark.parametrize("token_by", ["header", "subprotocol", "query"])
def test_the_token_may_be_anywhere_and_is_not_in_the_log(
    tmp_path: Path, nodes: list[Node], token_by: TokenBy
) -> None:
    secret = token("bob")

    async def main(proxy: Proxy) -> None:
        async with Guests(proxy) as guests:
            client = await guests.connect("bob", token=secret, token_by=token_by)
            await client.ping()
        await until(lambda: " 101 " in proxy.log, "the connection is logged")

    with Proxy(tmp_path, places(nodes)) as proxy:
        run(main(proxy))
        assert secret not in proxy.log and "authToken" not in proxy.log


def test_refusals_come_from_the_nodes(proxy: Proxy) -> None:
    async def refused(token: str | None, origin: str | None = None) -> int | None:
        with pytest.raises(CannotConnect) as error:
            await ChatClient.connect(proxy.url("chat"), token, origin=origin)
        return error.value.http_status

    async def main() -> None:
        assert await refused(None) == 401
        assert await refused("no token") == 401
        assert await refused(token("bob"), "https://elsewhere.example.org") == 403

    run(main())


def test_a_page_of_the_proxys_own_name_may_connect(proxy: Proxy) -> None:
    async def main() -> None:
        async with await RawClient.connect(proxy.port("chat")) as browser:
            # The nodes see the name that the browser asked for.
            await browser.open(
                headers={
                    "Host": "chat.example.org:4000",
                    "Origin": "https://chat.example.org",
                    "Authorization": f"Bearer {token('bob')}",
                }
            )
            assert b'"INFO"' in await browser.text()

    run(main())


def test_presence_has_its_own_door(proxy: Proxy, nodes: list[Node]) -> None:
    async def main() -> None:
        before = nodes[1].metric("chatd_connections_opened_total")
        async with Guests(proxy) as guests:
            await guests.connect("charlie", "presence")
            assert nodes[1].metric("chatd_connections_opened_total") == before + 1

    run(main())


def test_http_goes_through_but_for_the_metrics(proxy: Proxy) -> None:
    assert proxy.health() == 200
    assert status(f"{proxy.http_url}/health") == 200
    assert status(f"{proxy.http_url}/docs") == 200
    assert status(f"{proxy.http_url}/api/devices") == 401
    for path in ("/metrics", "/metrics/", "//metrics", "/%6detrics", "/metrics?x=1", "/METRICS"):
        assert status(proxy.http_url + path) == 404, path


def test_a_log_in_goes_through_and_its_token_is_good(proxy: Proxy) -> None:
    async def main() -> None:
        login = await http.login(proxy.http_url, "alice", demo.PASSWORD)
        assert login.user.username == "alice"

    run(main())


def test_a_node_that_dies_is_left_out_and_comes_back(proxy: Proxy, nodes: list[Node]) -> None:
    async def main() -> None:
        async with Guests(proxy) as guests:
            clients = await guests.on_both("alice")
            nodes[0].kill()
            # At once: before any check has failed, whoever comes is served by the other.
            for _ in range(4):
                late = await guests.connect("bob")
                await late.send_direct("charlie", "still here")
                assert status(f"{proxy.http_url}/health") == 200
            assert proxy.health() == 200
            (cut,) = await ended(clients)
            assert cut != CloseCode.DRAIN
            await until(lambda: "Server chat/chatd1 is DOWN" in proxy.log, "the check fails")
            await asyncio.to_thread(nodes[0].start)
            await until(lambda: "Server chat/chatd1 is UP" in proxy.log, "the check succeeds")
            await guests.on_both("charlie")

    run(main(), seconds=3 * SECONDS)


def test_a_node_that_drains_says_goodbye(proxy: Proxy, nodes: list[Node]) -> None:
    async def main() -> None:
        async with Guests(proxy) as guests:
            clients = await guests.on_both("alice")
            assert await asyncio.to_thread(nodes[0].stop) == 0
            assert await ended(clients) == [CloseCode.DRAIN]
            again = await guests.connect("alice")
            await again.ping()
            await asyncio.to_thread(nodes[0].start)
            await guests.on_both("charlie")

    run(main(), seconds=3 * SECONDS)


class Echo(BaseHTTPRequestHandler):
    """Is well, and answers with the headers that it got."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps([(name.lower(), text) for name, text in self.headers.items()]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that answers with what it is asked."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("door", ["http", "chat", "presence"])
def test_the_nodes_are_told_who_asks(
    tmp_path: Path, nodes: list[Node], echo: int, door: str
) -> None:
    claims = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}
    with Proxy(tmp_path, {name: Place(echo, echo) for name in places(nodes)}) as proxy:
        client = HTTPConnection(
            "127.0.0.1", proxy.port(door), timeout=10, source_address=("127.0.0.2", 0)
        )
        client.request("GET", "/", headers=claims | {"Host": "chat.example.org"})
        headers = json.loads(client.getresponse().read())
        client.close()
    told = {"host": "chat.example.org", "x-forwarded-for": "127.0.0.2", "x-forwarded-proto": "http"}
    assert sorted(header for header in headers if header[0] in told) == [
        [name, text] for name, text in told.items()
    ]


def test_without_nodes_the_proxy_says_so(tmp_path: Path, nodes: list[Node]) -> None:
    nowhere = {name: Place(9, 9) for name in places(nodes)}
    with Proxy(tmp_path, nowhere) as proxy:
        run(until(lambda: proxy.health() == 503, "it sees that nobody is there"))
        assert status(f"{proxy.http_url}/health") == 503
