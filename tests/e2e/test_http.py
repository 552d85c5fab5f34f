"""What a node tells over HTTP besides accounts, and to whom."""

import http.client
import json
import re

import pytest

from testclients import http as accounts
from tests.e2e.test_accounts import call, check_problem
from tests.e2e.town import PASSWORD, Town
from tests.support.loop import run
from tests.support.node import Node


def test_health(node: Node) -> None:
    reply = call(node, "/health", method="GET")
    assert reply.status == 200
    assert reply.json["status"] == "ok"
    assert reply.json["timestamp"] > 1_700_000_000_000
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["content-type"].startswith("application/json")


def test_the_specification_lists_the_routes_and_is_shown_as_a_page(node: Node) -> None:
    reply = call(node, "/openapi.json", method="GET")
    assert reply.status == 200
    document = reply.json
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "chatd"
    routes = {(method, path) for path, methods in document["paths"].items() for method in methods}
    wanted = {("post", f"/api/auth/{name}") for name in ("register", "login", "refresh", "logout")}
    assert routes >= wanted | {("get", "/health"), ("get", "/metrics")}
    page = call(node, "/docs", method="GET")
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    text = page.body.decode()
    for _, path in wanted:
        assert path in text
    assert not re.search(r"<script|https?://(?!127\.0\.0\.1)", text), "it needs no other host"


def test_metrics_are_prometheus_text_and_count(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            (ann, ben) = await town.online("ann", "ben")
            before = node.metric("chatd_events_total")
            await ann.send_direct(ben.user, "one", "key")
            await ann.send_direct(ben.user, "one", "key")
            await ben.send_raw("{")
            await ben.ping()
            assert node.metric("chatd_events_total") == before + 1
            assert node.metric("chatd_duplicates_total") >= 1
            assert node.metric("chatd_malformed_total") >= 1
            assert node.metric("chatd_errors_total") >= 1
            assert node.metric("chatd_connections") >= 2

    run(main())
    reply = call(node, "/metrics", method="GET")
    assert reply.headers["content-type"].startswith("text/plain")
    lines = reply.body.decode().splitlines()
    assert lines
    for line in lines:
        assert re.fullmatch(
            r"# HELP chatd_\w+ .+|# TYPE chatd_\w+ (gauge|counter)|chatd_\w+ \d+", line
        ), line


@pytest.mark.parametrize("path", ["/nothing", "/api", "/api/auth", "/api/users/me", "/health2"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_authentication_is_decided_before_path_and_method(
    path: str, method: str, node: Node
) -> None:
    reply = call(node, path, method=method)
    check_problem(reply, 401, "UNAUTHENTICATED")
    assert reply.headers["www-authenticate"] == "Bearer"
    bad = call(node, path, method=method, token="abc")
    check_problem(bad, 401, "UNAUTHENTICATED")


def test_before_the_body_too(node: Node) -> None:
    for body in (b"{", b"x" * 200_000, b""):
        check_problem(call(node, "/api/auth/logout", body), 401, "UNAUTHENTICATED")


def test_with_a_token_what_is_not_there_is_not_found(node: Node) -> None:
    async def main() -> str:
        return (await accounts.register(node.http_url, "pathfinder", PASSWORD)).token

    token = run(main())
    for path in ("/nothing", "/api/nothing"):
        reply = call(node, path, method="GET", token=token)
        assert reply.status == 404
        assert reply.headers["content-type"].startswith("application/problem+json")
        assert reply.json["status"] == 404
    assert call(node, "/api/auth/logout", method="GET", token=token).status == 405
    assert call(node, "/health", method="POST").status == 405


def test_a_token_is_not_read_from_the_query_of_a_path(node: Node) -> None:
    async def main() -> str:
        return (await accounts.register(node.http_url, "querist", PASSWORD)).token

    token = run(main())
    reply = call(node, f"/api/auth/logout?authToken={token}")
    check_problem(reply, 401, "UNAUTHENTICATED")
    assert token.encode() not in reply.body
    assert token not in node.log


def test_several_requests_go_over_one_connection(node: Node) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=10)
    try:
        for _ in range(3):
            connection.request("GET", "/health")
            reply = connection.getresponse()
            assert json.loads(reply.read())["status"] == "ok"
            sock = connection.sock
            assert sock is not None
        connection.request("POST", "/api/auth/login", b"{", {"Content-Type": "application/json"})
        assert connection.getresponse().read()
        assert connection.sock is sock, "an error does not end the connection"
    finally:
        connection.close()
