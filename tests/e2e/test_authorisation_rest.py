"""Who may ask for what over HTTP: every route by users of every standing, in one table."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import pytest

from tests.e2e.cast import STANDINGS, Actor, Cast, cast
from tests.e2e.rest import rest
from tests.e2e.test_accounts import call, check_problem
from tests.e2e.town import PASSWORD
from tests.support.loop import run
from tests.support.node import Node

Route = tuple[str, str]
"""Method and path, as the specification has them."""
Fill = Callable[[Cast, Actor], dict[str, str]]
"""What stands for the names in the path."""

OK: Final = "ok"
NOT_THERE: Final = "404"
ALREADY: Final = "ALREADY_A_MEMBER"
BLOCKED: Final = "BLOCKED"
FORBIDDEN: Final = "FORBIDDEN"
NOT_IN: Final = "NOT_A_MEMBER"

PUBLIC: Final = frozenset(
    {
        ("POST", "/api/auth/register"),
        ("POST", "/api/auth/login"),
        ("POST", "/api/auth/refresh"),
        ("GET", "/health"),
        ("GET", "/livez"),
        ("GET", "/ready"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
    }
)


class Row(NamedTuple):
    name: str
    fill: Fill
    expected: tuple[str, ...]
    """In the order of STANDINGS: stranger, ex-member, blocked, member, admin."""
    body: Callable[[Cast, Actor], object] = lambda cast, actor: None


EVERYBODY: Final = (OK,) * 5
MEMBERS: Final = (NOT_IN, NOT_IN, OK, OK, OK)
ADMINS: Final = (NOT_IN, NOT_IN, FORBIDDEN, FORBIDDEN, OK)
NEVER: Final = (NOT_IN, NOT_IN, FORBIDDEN, FORBIDDEN, FORBIDDEN)


def nothing(cast: Cast, actor: Actor) -> dict[str, str]:
    return {}


def group(cast: Cast, actor: Actor) -> dict[str, str]:
    return {"conversation_id": cast.group.id}


def chat(cast: Cast, actor: Actor) -> dict[str, str]:
    return {"conversation_id": actor.direct.id}


def extra(cast: Cast, actor: Actor) -> dict[str, str]:
    """A plain member of the group."""
    return {"conversation_id": cast.group.id, "username": cast.extra.name}


def oneself(cast: Cast, actor: Actor) -> dict[str, str]:
    return {"conversation_id": cast.group.id, "username": actor.who.name}


def peer(cast: Cast, actor: Actor) -> dict[str, str]:
    return {"conversation_id": actor.direct.id, "username": actor.peer.name}


def always(body: object) -> Callable[[Cast, Actor], object]:
    return lambda cast, actor: body


CONVERSATION: Final = "/api/conversations/{conversation_id}"
MEMBER: Final = f"{CONVERSATION}/members/{{username}}"
ROLE_ROWS: Final = [
    Row("another's", extra, ADMINS, always({"role": "ADMIN"})),
    Row(
        "one's own", oneself, (NOT_IN, NOT_IN, FORBIDDEN, FORBIDDEN, OK), always({"role": "ADMIN"})
    ),
    Row("in a chat", peer, NEVER, always({"role": "ADMIN"})),
]
READ_ROWS: Final = [Row("group", group, MEMBERS), Row("chat", chat, MEMBERS)]
ROWS: Final[dict[Route, list[Row]]] = {
    ("GET", "/api/conversations"): [Row("one's own", nothing, EVERYBODY)],
    ("GET", CONVERSATION): READ_ROWS,
    ("PATCH", CONVERSATION): [
        Row("group", group, ADMINS, always({"name": "renamed"})),
        Row("chat", chat, NEVER, always({"name": "renamed"})),
    ],
    ("GET", f"{CONVERSATION}/members"): READ_ROWS,
    ("GET", f"{CONVERSATION}/receipts"): READ_ROWS,
    ("POST", f"{CONVERSATION}/members"): [
        Row("group", group, ADMINS, lambda cast, _: {"username": cast.outsider.name}),
        Row("chat", chat, NEVER, lambda cast, _: {"username": cast.outsider.name}),
        Row(
            "oneself",
            lambda cast, _: {"conversation_id": cast.open_group.id},
            (NOT_IN, NOT_IN, ALREADY, ALREADY, ALREADY),
            lambda _, actor: {"username": actor.who.name},
        ),
    ],
    ("PATCH", MEMBER): ROLE_ROWS,
    ("PATCH", f"{MEMBER}/role"): ROLE_ROWS,
    ("DELETE", MEMBER): [
        Row("another", extra, ADMINS),
        Row("in a chat", peer, NEVER),
        Row("oneself", oneself, (NOT_IN, NOT_IN, OK, OK, OK)),
    ],
    ("GET", "/api/blocks"): [Row("one's own", nothing, EVERYBODY)],
    ("POST", "/api/blocks"): [
        Row("peer", nothing, EVERYBODY, lambda _, actor: {"username": actor.peer.name})
    ],
    ("DELETE", "/api/blocks/{username}"): [Row("peer", peer, EVERYBODY)],
    ("GET", "/api/devices"): [Row("one's own", nothing, EVERYBODY)],
    ("DELETE", "/api/devices/{device_id}"): [
        Row("no device", lambda *_: {"device_id": "nothing"}, (NOT_THERE,) * 5)
    ],
    ("POST", "/api/users/me/password"): [
        Row(
            "one's own",
            nothing,
            EVERYBODY,
            always({"currentPassword": PASSWORD, "newPassword": "battery staple"}),
        )
    ],
    ("GET", "/api/users/me/webhook"): [Row("none", nothing, (NOT_THERE,) * 5)],
    ("PUT", "/api/users/me/webhook"): [
        Row("one's own", nothing, EVERYBODY, always({"url": "https://example.org/hook"}))
    ],
    ("DELETE", "/api/users/me/webhook"): [Row("one's own", nothing, EVERYBODY)],
    ("POST", "/api/auth/logout"): [Row("oneself", nothing, EVERYBODY)],
}


def routes(node: Node) -> set[Route]:
    document = call(node, "/openapi.json", method="GET").json
    return {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }


def test_every_route_has_a_row(node: Node) -> None:
    assert ROWS.keys() == routes(node) - PUBLIC


@pytest.mark.parametrize("route", ROWS, ids=" ".join)
def test_who_may(route: Route, node: Node) -> None:
    method, path = route

    async def outcome(row: Row, people: Cast, actor: Actor) -> str:
        body: Any = row.body(people, actor)
        filled = path.format(**row.fill(people, actor))
        for token in (None, "abc", actor.who.refresh_token):
            reply = await rest(people.town, method, filled, token, body)
            check_problem(reply, 401, "UNAUTHENTICATED")
        reply = await rest(people.town, method, filled, actor.who, body)
        if reply.status < 300:
            return OK
        if reply.status == 404:
            return NOT_THERE
        check_problem(reply, reply.status, reply.json["code"])
        return str(reply.json["code"])

    async def main() -> None:
        async with cast(node) as people:
            for row in ROWS[route]:
                found = {
                    standing: await outcome(row, people, actor)
                    for standing, actor in people.actors.items()
                }
                assert found == dict(zip(STANDINGS, row.expected, strict=True)), row.name

    run(main())


def test_what_one_is_not_in_looks_like_what_is_not_there(node: Node) -> None:
    async def main() -> None:
        async with cast(node) as people:
            stranger = people.actors[STANDINGS[0]]
            for (method, path), rows in ROWS.items():
                for row in rows:
                    if row.expected[0] != NOT_IN:
                        continue
                    replies = set()
                    names = row.fill(people, stranger)
                    for conversation_id in (names["conversation_id"], "1234567", "no one-no two"):
                        names["conversation_id"] = conversation_id.replace(" ", "")
                        filled = path.format(**names)
                        body = row.body(people, stranger)
                        reply = await rest(people.town, method, filled, stranger.who, body)
                        replies.add((reply.status, reply.body))
                    assert len(replies) == 1, (method, path)

    run(main())
