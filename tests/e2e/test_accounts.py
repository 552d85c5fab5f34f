"""Accounts over HTTP: made once, logged in on devices, and logged out with their open sockets."""

import asyncio
import http.client
import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from protocol.close import CloseCode
from testclients import http as accounts
from testclients.errors import CannotConnect, HttpFailed
from tests.e2e.town import PASSWORD, Resident, Town
from tests.support.loop import run
from tests.support.node import Node

LOGIN: Final = {"token", "refreshToken", "expiresIn", "user"}


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def call(
    node: Node, path: str, body: object = None, *, token: str | None = None, method: str = "POST"
) -> Reply:
    """One request as a foreign client would send it; `body` is sent as JSON unless it is bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=10)
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    try:
        connection.request(method, path, data, headers)
        reply = connection.getresponse()
        return Reply(
            reply.status, {name.lower(): text for name, text in reply.getheaders()}, reply.read()
        )
    finally:
        connection.close()


def check_problem(reply: Reply, status: int, code: str) -> str:
    """The reply is problem+json with this code; its detail."""
    assert (reply.status, reply.json["code"]) == (status, code)
    assert reply.headers["content-type"].startswith("application/problem+json")
    assert reply.json["status"] == status
    assert reply.json["type"] == "about:blank"
    assert reply.json["title"]
    return str(reply.json["detail"])


async def settle(node: Node) -> Resident:
    return await Town(node).settle()


@pytest.mark.parametrize("prefix", ["/api/auth", "/auth"])
def test_register_login_refresh_logout(prefix: str, node: Node) -> None:
    name = f"walter{len(prefix)}"
    account = {"username": name, "password": PASSWORD, "displayName": "Walter Ü."}
    registered = call(node, f"{prefix}/register", account)
    assert registered.status == 201
    assert registered.json.keys() == LOGIN
    assert registered.json["user"] == {"username": name, "displayName": "Walter Ü."}
    assert registered.json["expiresIn"] == 7 * 24 * 3600

    logged_in = call(node, f"{prefix}/login", {"username": name, "password": PASSWORD})
    assert logged_in.status == 200
    assert logged_in.json.keys() == LOGIN
    assert logged_in.json["user"] == registered.json["user"]
    assert logged_in.json["token"] != registered.json["token"]

    old = logged_in.json["refreshToken"]
    refreshed = call(node, f"{prefix}/refresh", {"refreshToken": old})
    assert refreshed.status == 200
    assert refreshed.json.keys() == LOGIN
    assert refreshed.json["refreshToken"] != old
    again = call(node, f"{prefix}/refresh", {"refreshToken": old})
    check_problem(again, 401, "UNAUTHENTICATED")

    token = refreshed.json["token"]
    logged_out = call(node, f"{prefix}/logout", token=token)
    assert (logged_out.status, logged_out.body) == (204, b"")
    check_problem(call(node, f"{prefix}/logout", token=token), 401, "UNAUTHENTICATED")
    check_problem(
        call(node, f"{prefix}/refresh", {"refreshToken": refreshed.json["refreshToken"]}),
        401,
        "UNAUTHENTICATED",
    )


def test_a_username_is_given_once(node: Node) -> None:
    account = {"username": "highlander", "password": PASSWORD}
    assert call(node, "/api/auth/register", account).status == 201
    reply = call(node, "/api/auth/register", account | {"password": "another one"})
    assert "highlander" in check_problem(reply, 409, "USERNAME_TAKEN")


def test_of_many_who_want_a_username_at_once_one_gets_it(node: Node) -> None:
    async def main() -> None:
        attempts = [
            accounts.register(node.http_url, "contested", f"{PASSWORD} {number}")
            for number in range(8)
        ]
        results = await asyncio.gather(*attempts, return_exceptions=True)
        failures = [result for result in results if isinstance(result, HttpFailed)]
        assert [failure.code for failure in failures] == ["USERNAME_TAKEN"] * 7
        (number,) = (
            number for number, result in enumerate(results) if not isinstance(result, Exception)
        )
        await accounts.login(node.http_url, "contested", f"{PASSWORD} {number}")

    run(main())


@pytest.mark.parametrize(
    "password",
    ["", "1234567", "x" * 73, "ü" * 37, "with a\0 in it"],
    ids=lambda text: f"{text!r:.9}",
)
def test_a_weak_password_is_refused(password: str, node: Node) -> None:
    account = {"username": "weakling", "password": password}
    detail = check_problem(call(node, "/api/auth/register", account), 422, "WEAK_PASSWORD")
    assert password not in detail or not password


@pytest.mark.parametrize("password", ["12345678", "x" * 72, "ü" * 36, " " * 8])
def test_a_password_of_8_to_72_bytes_is_kept_as_it_is(password: str, node: Node) -> None:
    name = f"strong.{password.encode().hex()[:8]}.{len(password)}"
    account = {"username": name, "password": password}
    assert call(node, "/api/auth/register", account).status == 201
    assert call(node, "/api/auth/login", account).status == 200
    wrong = account | {"password": password[:-1]}
    check_problem(call(node, "/api/auth/login", wrong), 401, "WRONG_CREDENTIALS")
    longer = account | {"password": f"{password}x"}
    check_problem(call(node, "/api/auth/login", longer), 401, "WRONG_CREDENTIALS")


@pytest.mark.parametrize(
    "username",
    [
        "",
        "ab",
        "x" * 33,
        "Alice",
        "al ice",
        "al-ice",
        "_alice",
        ".alice",
        "älice",
        "alice\n",
        "a/b",
    ],
)
def test_a_bad_username_is_refused_by_name(username: str, node: Node) -> None:
    reply = call(node, "/api/auth/register", {"username": username, "password": PASSWORD})
    assert check_problem(reply, 422, "INVALID_FIELD").startswith("`username`")
    reply = call(node, "/api/auth/login", {"username": username, "password": PASSWORD})
    check_problem(reply, 401, "WRONG_CREDENTIALS")


@pytest.mark.parametrize("username", ["abc", "x" * 32, "0.0", "a_b.c_"])
def test_a_good_username_is_taken(username: str, node: Node) -> None:
    account = {"username": username, "password": PASSWORD}
    assert call(node, "/api/auth/register", account).status == 201


@pytest.mark.parametrize("display_name", ["", "x" * 101, "two\nlines", "bell\a"])
def test_a_bad_display_name_is_refused(display_name: str, node: Node) -> None:
    account = {"username": "nameless", "password": PASSWORD, "displayName": display_name}
    reply = call(node, "/api/auth/register", account)
    assert check_problem(reply, 422, "INVALID_FIELD").startswith("`displayName`")


def test_a_wrong_name_and_a_wrong_password_look_the_same(node: Node) -> None:
    who = run(settle(node))
    wrong = call(node, "/api/auth/login", {"username": who.name, "password": "not the one"})
    nobody = call(node, "/api/auth/login", {"username": "nobody.at.all", "password": PASSWORD})
    assert check_problem(wrong, 401, "WRONG_CREDENTIALS") == check_problem(
        nobody, 401, "WRONG_CREDENTIALS"
    )


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"username": "somebody"}, 422, "INVALID_FIELD", "password"),
        ({"password": PASSWORD}, 422, "INVALID_FIELD", "username"),
        ({"username": 7, "password": PASSWORD}, 422, "INVALID_FIELD", "username"),
        ({"username": "somebody", "password": None}, 422, "INVALID_FIELD", "password"),
        (b"{", 400, "MALFORMED_FRAME", ""),
        (b"\xff", 400, "MALFORMED_FRAME", ""),
        (b" " * 70_000, 413, "TOO_LARGE", ""),
    ],
)
def test_a_bad_body_is_a_problem_that_names_the_field(
    body: object, status: int, code: str, field: str, node: Node
) -> None:
    for path in ("/api/auth/register", "/api/auth/login"):
        detail = check_problem(call(node, path, body), status, code)
        assert field in detail


def test_logout_ends_the_device_and_leaves_the_others(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            who = await town.settle()
            other = await accounts.login(node.http_url, who.name, PASSWORD)
            ended = [await town.connect(who), await town.connect(who, presence=True)]
            stays = await town.connect(who, token=other.token)
            await accounts.logout(node.http_url, who.token)
            for client in ended:
                assert await client.closed == CloseCode.TOKEN_REVOKED
                assert client.close_reason == "token revoked"
            await stays.ping()
            with pytest.raises(CannotConnect) as refused:
                await town.connect(who)
            assert refused.value.http_status == 401
            with pytest.raises(HttpFailed, match="UNAUTHENTICATED"):
                await accounts.refresh(node.http_url, who.refresh_token)
            await accounts.refresh(node.http_url, other.refresh_token)

    run(main())


def test_logout_of_all_ends_every_device(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            who, bystander = await town.settle_all("leaver", "stayer")
            logins = [await accounts.login(node.http_url, who.name, PASSWORD) for _ in range(3)]
            tokens = [who.token, node.token(who.name), *(login.token for login in logins)]
            clients = [await town.connect(who, token=token) for token in tokens]
            other = await town.connect(bystander)
            await accounts.logout(node.http_url, who.token, everywhere=True)
            codes = [await client.closed for client in clients]
            assert codes == [CloseCode.TOKEN_REVOKED] * len(tokens)
            for token in tokens:
                with pytest.raises(CannotConnect) as refused:
                    await town.connect(who, token=token)
                assert refused.value.http_status == 401
            for login in logins:
                with pytest.raises(HttpFailed, match="UNAUTHENTICATED"):
                    await accounts.refresh(node.http_url, login.refresh_token)
            await other.ping()
            fresh = await accounts.login(node.http_url, who.name, PASSWORD)
            await (await town.connect(who, token=fresh.token)).ping()

    run(main())


def test_a_refreshed_token_is_the_same_device(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            who = await town.settle()
            refreshed = await accounts.refresh(node.http_url, who.refresh_token)
            client = await town.connect(who, token=refreshed.token)
            await accounts.logout(node.http_url, who.token)
            assert await client.closed == CloseCode.TOKEN_REVOKED

    run(main())


def test_registration_may_be_closed_or_by_invite(tmp_path: Path) -> None:
    for registration, status, code in (
        ("closed", 403, "FORBIDDEN"),
        ("invite", 409, "INVITE_EXPIRED"),
    ):
        folder = tmp_path / registration
        folder.mkdir()
        with Node(folder, settings={"registration": registration}, demo=True) as node:
            account = {"username": "latecomer", "password": PASSWORD}
            check_problem(call(node, "/api/auth/register", account), status, code)
            demo = {"username": "alice", "password": "password123"}
            assert call(node, "/api/auth/login", demo).status == 200
