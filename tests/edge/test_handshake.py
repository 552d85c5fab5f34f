"""Who is let in: the three places of a token, pages of which origins, what the others are told."""

import json
from collections.abc import Iterator
from itertools import count
from typing import Final, NamedTuple

import jwt
import pytest

from testclients import http
from tests.edge import raw
from tests.edge.raw import Answer, RawClient, upgrade
from tests.support.loop import run
from tests.support.node import Node

CHAT_PAGE: Final = "https://chat.example.org"
BEARER: Final = "Authorization"
PROTOCOLS: Final = "Sec-WebSocket-Protocol"

_numbers: Final = count(1)


class Visitor(NamedTuple):
    username: str
    token: str


@pytest.fixture
def visitor(node: Node) -> Visitor:
    return run(register(node))


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that has a list of origins."""
    settings = {"allowed_origins": f"{CHAT_PAGE}, http://localhost:8080"}
    with Node(tmp_path_factory.mktemp("listed"), settings=settings) as node:
        yield node
        assert node.complaints == []


async def register(node: Node) -> Visitor:
    login = await http.register(node.http_url, f"visitor{next(_numbers)}", "correct horse")
    return Visitor(login.user.username, login.token)


async def knock(port: int, request: bytes) -> tuple[Answer, str | None]:
    """The answer, and whom INFO names when it is an upgrade."""
    async with await RawClient.connect(port) as client:
        await client.send(request)
        answer = await client.answer()
        if answer.status != 101:
            await client.end()
            return answer, None
        info = json.loads(await client.text())
        assert info["type"] == "INFO"
        await client.send(raw.close())
        assert await client.close_code() == 1000
        return answer, info["user"]


def ask(node: Node, headers: dict[str, str], path: str = "/") -> tuple[Answer, str | None]:
    return run(knock(node.chat_port, upgrade(path, headers)))


class Way(NamedTuple):
    """How a token is given, and which subprotocol must be selected then."""

    path: str
    headers: dict[str, str]
    selected: str | None


WAYS: Final = {
    "header": Way("/", {BEARER: "Bearer {}"}, None),
    "scheme in small letters": Way("/", {BEARER: "bearer   {} "}, None),
    "header and subprotocol": Way("/", {BEARER: "Bearer {}", PROTOCOLS: "chat.v1"}, "chat.v1"),
    "subprotocol": Way("/", {PROTOCOLS: "chat.v1, bearer.{}"}, "chat.v1"),
    "subprotocol in front": Way("/", {PROTOCOLS: "bearer.{},chat.v2,chat.v1"}, "chat.v1"),
    "subprotocol alone": Way("/", {PROTOCOLS: "bearer.{}"}, None),
    "newer client": Way("/", {PROTOCOLS: "chat.v2, bearer.{}"}, None),
    "query": Way("/?authToken={}", {}, None),
    "query and subprotocol": Way("/?authToken={}", {PROTOCOLS: "chat.v1"}, "chat.v1"),
    "query among others": Way("/?resume=0&authToken={}&x=%20", {}, None),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("door", ["chat", "presence"])
def test_a_token_may_be_given_in_three_ways(
    way: Way, door: str, node: Node, visitor: Visitor
) -> None:
    port = node.chat_port if door == "chat" else node.presence_port
    headers = {name: text.format(visitor.token) for name, text in way.headers.items()}
    request = upgrade(way.path.format(visitor.token), headers)
    answer, user = run(knock(port, request))
    assert user == visitor.username
    assert answer.headers.get("sec-websocket-protocol") == way.selected
    assert visitor.token not in str(answer)
    assert visitor.token not in node.log


def bad_tokens(node: Node, username: str) -> dict[str, str]:
    good = node.token(username)
    head, claims, signature = good.split(".")
    unsigned = jwt.encode(
        jwt.decode(good, options={"verify_signature": False}), None, algorithm="none"
    )
    return {
        "nonsense": "abc",
        "other secret": jwt.encode({"sub": username, "exp": 2**40}, "x" * 32, algorithm="HS256"),
        "not signed": unsigned,
        "signature cut": f"{head}.{claims}.{signature[:-2]}",
        "signature gone": f"{head}.{claims}.",
        "expired": node.token(username, seconds=0),
        "nobody's": node.token("nobody.here"),
    }


@pytest.mark.parametrize("way", ["header", "subprotocol", "query"])
def test_a_bad_token_is_refused_before_the_upgrade(way: str, node: Node, visitor: Visitor) -> None:
    path, headers, _ = WAYS[way]
    for what, token in bad_tokens(node, visitor.username).items():
        given = {name: text.format(token) for name, text in headers.items()}
        answer, _ = ask(node, given, path.format(token))
        assert answer.status == 401, what
        assert answer.headers["www-authenticate"] == "Bearer"
        if token != "abc":
            assert token not in str(answer), what
            assert token not in node.log, what


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        pytest.param("/", {}, id="nowhere"),
        pytest.param("/", {BEARER: ""}, id="empty header"),
        pytest.param("/", {BEARER: "Bearer"}, id="scheme alone"),
        pytest.param("/", {BEARER: "Basic YTpi"}, id="another scheme"),
        pytest.param("/", {PROTOCOLS: "chat.v1"}, id="no bearer subprotocol"),
        pytest.param("/", {PROTOCOLS: "chat.v1, bearer."}, id="empty bearer subprotocol"),
        pytest.param("/?authToken=", {}, id="empty query"),
        pytest.param("/?authtoken=abc", {}, id="another parameter"),
        pytest.param("/?" + "&".join(["a=b"] * 500), {}, id="many parameters"),
    ],
)
def test_without_a_token_nobody_is_let_in(path: str, headers: dict[str, str], node: Node) -> None:
    answer, _ = ask(node, headers, path)
    assert answer.status == 401
    assert b"token" in answer.body


def test_a_token_that_was_logged_out_is_refused(node: Node, visitor: Visitor) -> None:
    run(http.logout(node.http_url, visitor.token))
    for way in ("header", "subprotocol", "query"):
        path, headers, _ = WAYS[way]
        given = {name: text.format(visitor.token) for name, text in headers.items()}
        assert ask(node, given, path.format(visitor.token))[0].status == 401


def test_the_header_counts_before_the_other_places(node: Node, visitor: Visitor) -> None:
    good, bad = visitor.token, "abc"
    path = f"/?authToken={good}"
    assert ask(node, {BEARER: f"Bearer {bad}", PROTOCOLS: f"bearer.{good}"}, path)[0].status == 401
    assert ask(node, {PROTOCOLS: f"bearer.{bad}"}, path)[0].status == 401
    assert ask(node, {BEARER: f"Bearer {good}", PROTOCOLS: f"bearer.{bad}"})[0].status == 101


@pytest.mark.parametrize("path", ["/chat", "/ws", "//", "/index.html", "/%2e", "*"])
def test_every_other_path_is_not_there(path: str, node: Node, visitor: Visitor) -> None:
    assert ask(node, {BEARER: f"Bearer {visitor.token}"}, path)[0].status == 404
    assert ask(node, {"Origin": "https://evil.example"}, path)[0].status == 404, "path comes first"


@pytest.mark.parametrize(
    ("origin", "host", "is_allowed"),
    [
        ("http://127.0.0.1:3000", "127.0.0.1:4000", True),
        ("http://localhost", "127.0.0.1:4000", True),
        ("https://localhost:8443", "chat.example.org", True),
        ("http://127.0.0.1:1", "chat.example.org", True),
        (CHAT_PAGE, "chat.example.org", True),
        (f"{CHAT_PAGE}:8443", "chat.example.org:4000", True),
        ("https://CHAT.example.org", "chat.Example.org", True),
        ("http://[::1]:3000", "[::1]:4000", True),
        (CHAT_PAGE, "127.0.0.1:4000", False),
        ("https://example.org", "chat.example.org", False),
        ("https://chat.example.org.evil.example", "chat.example.org", False),
        ("https://localhost.evil.example", "127.0.0.1", False),
        ("https://evil.example/localhost", "127.0.0.1", False),
        ("https://localhost@evil.example", "127.0.0.1", False),
        ("null", "127.0.0.1", False),
        ("file://", "127.0.0.1", False),
        ("", "127.0.0.1", False),
        ("http://[::1", "127.0.0.1", False),
    ],
)
def test_without_a_list_pages_of_the_same_name_and_of_this_machine_may_connect(
    origin: str, host: str, is_allowed: bool, node: Node, visitor: Visitor
) -> None:
    headers = {"Origin": origin, "Host": host}
    answer, _ = ask(node, headers | {BEARER: f"Bearer {visitor.token}"})
    assert answer.status == (101 if is_allowed else 403)
    assert ask(node, headers)[0].status == (401 if is_allowed else 403), "before the token"


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        (CHAT_PAGE, True),
        ("http://localhost:8080", True),
        ("http://localhost:8081", False),
        ("http://127.0.0.1:8080", False),
        (f"{CHAT_PAGE}:8443", False),
        ("http://chat.example.org", False),
        ("null", False),
    ],
)
def test_with_a_list_only_pages_on_it_may_connect(
    origin: str, is_allowed: bool, listed: Node
) -> None:
    visitor = run(register(listed))
    headers = {"Origin": origin, "Host": "127.0.0.1", BEARER: f"Bearer {visitor.token}"}
    assert ask(listed, headers)[0].status == (101 if is_allowed else 403)


def test_a_program_without_an_origin_is_not_concerned(listed: Node) -> None:
    visitor = run(register(listed))
    assert ask(listed, {BEARER: f"Bearer {visitor.token}"})[1] == visitor.username


@pytest.mark.parametrize("name", [BEARER, "Origin", "Host"])
def test_what_must_be_said_once_may_not_be_said_twice(
    name: str, node: Node, visitor: Visitor
) -> None:
    values = {
        BEARER: f"Bearer {visitor.token}",
        "Origin": "http://localhost:3000",
        "Host": "127.0.0.1",
    }
    request = upgrade(headers=values)
    doubled = request.replace(b"\r\n\r\n", f"\r\n{name}: {values[name]}\r\n\r\n".encode())
    assert run(knock(node.chat_port, request))[0].status == 101
    answer, _ = run(knock(node.chat_port, doubled))
    assert answer.status == 400
    assert name.encode() in answer.body
    assert visitor.token not in str(answer)
    assert visitor.token not in node.log


def test_subprotocols_may_come_in_several_headers(node: Node, visitor: Visitor) -> None:
    request = upgrade(headers={PROTOCOLS: "chat.v1"}).replace(
        b"\r\n\r\n", f"\r\n{PROTOCOLS}: bearer.{visitor.token}\r\n\r\n".encode()
    )
    answer, user = run(knock(node.chat_port, request))
    assert user == visitor.username
    assert answer.headers["sec-websocket-protocol"] == "chat.v1"


def test_a_refusal_is_logged_with_its_reason_and_counted(node: Node) -> None:
    before = node.metric("chatd_handshakes_refused_total")
    token = node.token("nobody.at.all")
    assert ask(node, {}, f"/elsewhere?authToken={token}")[0].status == 404
    assert ask(node, {}, f"/?authToken={token}")[0].status == 401
    assert node.metric("chatd_handshakes_refused_total") == before + 2
    refusals = [json.loads(line)["message"] for line in node.log.splitlines()][-2:]
    assert refusals[0] == "handshake from 127.0.0.1 refused: 404 the WebSocket is at the path /"
    assert refusals[1].startswith("handshake from 127.0.0.1 refused: 401 ")
    assert token not in node.log
