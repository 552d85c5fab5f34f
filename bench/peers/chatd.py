"""chatd itself, of this checkout: embedded and durable, on a data folder of its own."""

import asyncio
import http.client
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Final, Self

from bench import wire
from bench.errors import BenchError
from bench.plan import Dialect, Seat, Step
from bench.processes import HOST, ChildServer, free_ports
from protocol.limits import CREATE_GROUP_MEMBERS
from testclients.client import ChatClient
from testclients.errors import ClientError

_ROOT: Final = Path(__file__).resolve().parents[2]
_PASSWORD: Final = "password123"
_REGISTER_AT_ONCE: Final = 8
_JOIN_AT_ONCE: Final = 32
_HTTP_SECONDS: Final = 30
_INFO: Final = Step("", b'"type":"INFO"')
_DIRECT: Final = (
    '{"type":"ONE_TO_ONE_CHAT","to":"{to}","content":"%(content)s","clientMsgId":"b%(number)d"}'
)
_GROUP: Final = (
    '{"type":"GROUP_CHAT","groupId":"{to}","content":"%(content)s","clientMsgId":"b%(number)d"}'
)


class Chatd:
    name = "chatd"
    description = "embedded, durable: every ack after an fsync of SQLite"
    dialect = Dialect(
        ack=rb'"type":"SUCCESS"[^}]*"clientMsgId":"b(\d+)"',
        refusal=rb'"type":"ERROR"[^}]*',
    )
    has_echo = False

    def __init__(self, folder: Path, core: int | None) -> None:
        self._folder = folder
        self._core = core
        self._server: ChildServer | None = None
        self._http_port = 0
        self._chat_port = 0

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._stop()

    @property
    def pids(self) -> list[int]:
        assert self._server is not None
        return self._server.pids

    @property
    def address(self) -> tuple[str, int]:
        return HOST, self._chat_port

    def check(self) -> None:
        assert self._server is not None
        self._server.check()

    def group_seats(self, members: int) -> list[Seat]:
        users = _names(members)
        tokens = self._register(users)
        try:
            group_id = asyncio.run(self._make_group(users, tokens))
        except ClientError as error:
            raise BenchError(f"chatd makes no group: {error}") from None
        post = _GROUP.replace("{to}", group_id)
        return [self._seat(n, users[n], tokens[n], post) for n in range(members)]

    def pair_seats(self, pairs: int) -> list[Seat]:
        users = _names(2 * pairs)
        tokens = self._register(users)
        return [
            self._seat(n, users[n], tokens[n], _DIRECT.replace("{to}", users[n ^ 1]))
            for n in range(2 * pairs)
        ]

    def idle_seats(self, count: int) -> list[Seat]:
        users = _names(count)
        tokens = self._register(users)
        self._stop()
        self._start()
        return [self._seat(n, users[n], tokens[n]) for n in range(count)]

    def _seat(self, number: int, user: str, token: str, post: str = "") -> Seat:
        authorization = {"Authorization": f"Bearer {token}"}
        request = wire.upgrade(f"{HOST}:{self._chat_port}", "/", authorization)
        return Seat(number, user, request, (_INFO,), post)

    def _start(self) -> None:
        self._http_port, self._chat_port, presence_port = free_ports(3)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("CHATD_")}
        environment |= {
            "CHATD_HTTP_PORT": str(self._http_port),
            "CHATD_CHAT_PORT": str(self._chat_port),
            "CHATD_PRESENCE_PORT": str(presence_port),
            "CHATD_DATA_DIR": str(self._folder / "data"),
            "CHATD_BCRYPT_COST": "4",
            "CHATD_RATE_LIMITS": "off",
            "CHATD_DRAIN_SECONDS": "1",
            "PYTHONPATH": os.pathsep.join([str(_ROOT), *_python_path()]),
        }
        self._server = ChildServer(
            self.name,
            [sys.executable, "-m", "chatd", "serve"],
            environment,
            self._folder / "log",
            self._core,
        )
        self._server.wait_until(self._is_healthy)

    def _stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    def _is_healthy(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self._http_port, timeout=2)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _register(self, users: Sequence[str]) -> list[str]:
        """Make accounts, over a few connections; their tokens."""
        shares = [users[first::_REGISTER_AT_ONCE] for first in range(_REGISTER_AT_ONCE)]
        tokens: dict[str, str] = {}
        given_up = Event()
        with ThreadPoolExecutor(_REGISTER_AT_ONCE) as pool:
            try:
                for made in pool.map(self._register_share, shares, repeat(given_up)):
                    tokens.update(made)
            except BaseException:
                given_up.set()  # leaving the pool waits for its threads
                raise
        return [tokens[user] for user in users]

    def _register_share(self, users: Sequence[str], given_up: Event) -> dict[str, str]:
        connection = http.client.HTTPConnection(HOST, self._http_port, timeout=_HTTP_SECONDS)
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

    async def _make_group(self, users: Sequence[str], tokens: Sequence[str]) -> str:
        """The first user makes it with as many members as go into one frame; the others join."""
        url = f"ws://{HOST}:{self._chat_port}/"
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


def _names(count: int) -> list[str]:
    return [f"user{number}" for number in range(count)]


def _python_path() -> list[str]:
    path = os.environ.get("PYTHONPATH")
    return [path] if path else []
