"""Accounts of chatd for the load, and the groups that they are in.

Thousands of accounts are written where the server reads them, because registering costs as many
password hashes; tokens are signed as the server signs them.
"""

import asyncio
import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from bench.errors import BenchError
from chatd import ids
from chatd.auth import Tokens, hash_password
from protocol.limits import CREATE_GROUP_MEMBERS
from testclients.client import ChatClient

COLUMNS: Final = ("username", "password_hash", "created_at")
"""Of the table account."""
_PASSWORD: Final = "password123"
_BCRYPT_COST: Final = 4
_AT_ONCE: Final = 32
"""Connections that make a group or join one."""


def rows(users: Iterable[str]) -> list[tuple[str, str, int]]:
    """An account for each, for the COLUMNS. All have one password."""
    hashed, now_ms = hash_password(_PASSWORD, _BCRYPT_COST), _now_ms()
    return [(user, hashed, now_ms) for user in users]


def tokens_of(users: Iterable[str], secret: bytes) -> list[str]:
    """A token for each, of a device that never logged in."""
    tokens, now_ms = Tokens(secret), _now_ms()
    return [tokens.sign(user, ids.new_device_id(), now_ms) for user in users]


def add_to_sqlite(file: Path, users: Iterable[str]) -> None:
    """Add accounts to the database of a server that does not run.

    Raises:
        BenchError: it does not take them.
    """
    sql = f"INSERT INTO account ({', '.join(COLUMNS)}) VALUES (?, ?, ?)"
    try:
        connection = sqlite3.connect(file)
        try:
            with connection:
                connection.executemany(sql, rows(users))
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise BenchError(f"the database takes no accounts: {error}") from None


async def make_group(url: str, users: Sequence[str], tokens: Sequence[str]) -> str:
    """The first user makes it with as many members as go into one frame; the others join.

    Raises:
        ClientError: chatd does not do it.
    """
    first = 1 + CREATE_GROUP_MEMBERS
    async with ChatClient.connect(url, tokens[0]) as maker:
        made = await maker.create_group("bench", list(users[1:first]), open=True)
    assert made.group_id is not None
    gate = asyncio.Semaphore(_AT_ONCE)

    async def join(token: str, group_id: str) -> None:
        async with gate, ChatClient.connect(url, token) as client:
            await client.join_group(group_id)

    await asyncio.gather(*(join(token, made.group_id) for token in tokens[first:]))
    return made.group_id


async def make_groups(
    url: str, users: Sequence[Sequence[str]], tokens: Sequence[Sequence[str]]
) -> list[str]:
    """A group for each list of users, made by its first; raises as `make_group`."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def make(theirs: Sequence[str], theirs_tokens: Sequence[str]) -> str:
        async with gate:
            return await make_group(url, theirs, theirs_tokens)

    return list(await asyncio.gather(*map(make, users, tokens)))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
