"""Accounts of chatd for the load, and the groups that all of them are in."""

import asyncio
import http.client
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from threading import Event
from typing import Final

from bench.errors import BenchError
from bench.processes import HOST
from protocol.limits import CREATE_GROUP_MEMBERS
from testclients.client import ChatClient

_PASSWORD: Final = "password123"
_REGISTER_AT_ONCE: Final = 8
_JOIN_AT_ONCE: Final = 32
_HTTP_SECONDS: Final = 30


def register(http_port: int, users: Sequence[str]) -> list[str]:
    """Make accounts, over a few connections; their tokens.

    Raises:
        BenchError: chatd makes none.
    """
    shares = [users[first::_REGISTER_AT_ONCE] for first in range(_REGISTER_AT_ONCE)]
    tokens: dict[str, str] = {}
    given_up = Event()
    with ThreadPoolExecutor(_REGISTER_AT_ONCE) as pool:
        try:
            for made in pool.map(_register_share, repeat(http_port), shares, repeat(given_up)):
                tokens.update(made)
        except BaseException:
            given_up.set()  # leaving the pool waits for its threads
            raise
    return [tokens[user] for user in users]


def _register_share(http_port: int, users: Sequence[str], given_up: Event) -> dict[str, str]:
    connection = http.client.HTTPConnection(HOST, http_port, timeout=_HTTP_SECONDS)
    tokens = {}
    try:
        for user in users:
            if given_up.is_set():
                break
            connection.request(
                "POST",
                "/api/auth/register",
                json.dumps({"username": user, "password": _PASSWORD}),
                {"Content-Type": "application/json"},
            )
            response = connection.getresponse()
            body = response.read()
            if response.status != 201:
                raise BenchError(f"chatd makes no account: {response.status} {body[:200]!r}")
            tokens[user] = str(json.loads(body)["token"])
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        raise BenchError(f"chatd makes no account: {error!r}") from None
    finally:
        connection.close()
    return tokens


async def make_group(url: str, users: Sequence[str], tokens: Sequence[str]) -> str:
    """The first user makes it with as many members as go into one frame; the others join.

    Raises:
        ClientError: chatd does not do it.
    """
    first = 1 + CREATE_GROUP_MEMBERS
    async with ChatClient.connect(url, tokens[0]) as maker:
        made = await maker.create_group("bench", list(users[1:first]), open=True)
    assert made.group_id is not None
    gate = asyncio.Semaphore(_JOIN_AT_ONCE)

    async def join(token: str, group_id: str) -> None:
        async with gate, ChatClient.connect(url, token) as client:
            await client.join_group(group_id)

    await asyncio.gather(*(join(token, made.group_id) for token in tokens[first:]))
    return made.group_id
