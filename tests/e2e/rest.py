"""The HTTP API beside open connections: one request as a foreign client would send it."""

import asyncio
from typing import Any

from tests.e2e.frames import Place
from tests.e2e.test_accounts import Reply, call, check_problem
from tests.e2e.town import Resident, Town
from tests.support.node import Node


async def rest(
    where: Town | Node, method: str, path: str, who: Resident | str | None, body: object = None
) -> Reply:
    """The reply to a request with a user's token, or another token, or none."""
    node = where.node if isinstance(where, Town) else where
    token = who.token if isinstance(who, Resident) else who
    return await asyncio.to_thread(call, node, path, body, token=token, method=method)


async def done(
    where: Town | Node, method: str, path: str, who: Resident | str | None, body: object = None
) -> Any:
    """What a request that must be granted is answered with; None when there is no body."""
    reply = await rest(where, method, path, who, body)
    assert 200 <= reply.status < 300, reply.body
    return reply.json if reply.body else None


async def refused(
    where: Town | Node, method: str, path: str, who: Resident | str | None, body: object = None
) -> str:
    """The code of a request that must be refused."""
    reply = await rest(where, method, path, who, body)
    assert reply.status >= 400, reply.body
    code = reply.json["code"]
    check_problem(reply, reply.status, code)
    return str(code)


def group_path(place: Place, *rest: str) -> str:
    """The path of a conversation, or below it."""
    return "/".join(["/api/conversations", place.id, *rest])


async def remove(where: Town | Node, by: Resident, place: Place, who: Resident) -> None:
    await done(where, "DELETE", group_path(place, "members", who.name), by)


async def add(where: Town | Node, by: Resident, place: Place, who: Resident) -> None:
    await done(where, "POST", group_path(place, "members"), by, {"username": who.name})


async def change_role(
    where: Town | Node, by: Resident, place: Place, who: Resident, role: str
) -> None:
    await done(where, "PATCH", group_path(place, "members", who.name), by, {"role": role})


async def block(where: Town | Node, by: Resident, who: Resident) -> None:
    await done(where, "POST", "/api/blocks", by, {"username": who.name})
