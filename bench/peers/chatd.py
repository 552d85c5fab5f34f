"""chatd itself, of this checkout: embedded and durable, on a data folder of its own."""

import asyncio
import http.client
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench import wire
from bench.errors import BenchError
from bench.peers import chatd_crowd
from bench.peers.chatd_accounts import add_to_sqlite, make_group, make_groups, tokens_of
from bench.peers.chatd_crowd import Crowd
from bench.peers.child import ChildPeer
from bench.plan import Dialect, Reading, Seat, Step
from bench.processes import HOST, ChildServer, free_ports
from bench.shapes import MixedShape
from chatd.data_dir import DataDir
from testclients.errors import ClientError

ROOT: Final = Path(__file__).resolve().parents[2]
_HTTP_SECONDS: Final = 30
_HEALTH_SECONDS: Final = 2
_INFO: Final = Step("", b'"type":"INFO"')
_DIRECT: Final = (
    '{"type":"ONE_TO_ONE_CHAT","to":"{to}","content":"%(content)s","clientMsgId":"b%(number)d"}'
)
_GROUP: Final = (
    '{"type":"GROUP_CHAT","groupId":"{to}","content":"%(content)s","clientMsgId":"b%(number)d"}'
)


class Chatd(ChildPeer):
    name = "chatd"
    description = "embedded, durable: every ack after an fsync of SQLite"
    dialect = Dialect(
        ack=rb'"type":"SUCCESS"[^}]*"clientMsgId":"b(\d+)"',
        refusal=rb'"type":"ERROR"[^}]*',
        event=rb'"seq":(\d+),"prev":\d+,"(?:chatId|groupId)":"([^"]+)"',
        resume='{"type":"RESUME","ref":"resume","positions":%(positions)s}',
        resumed=b'{"type":"SUCCESS","ref":"resume"',
    )
    has_echo = False

    def __init__(self, folder: Path, core: int | None) -> None:
        super().__init__(folder, core)
        self._http_ports: list[int] = []

    def start_nodes(self, count: int) -> None:
        """Have so many processes run, on the same backends.

        Raises:
            BenchError: it cannot be more than one, or one does not start.
        """
        if count > 1:
            raise BenchError("embedded, chatd is one process: several take --on backends")

    def group_seats(self, members: int) -> list[Seat]:
        """Spread over the nodes in turn."""
        users = _names(members)
        tokens = self._make_accounts(users)
        try:
            group_id = asyncio.run(make_group(self._url, users, tokens))
        except ClientError as error:
            raise BenchError(f"chatd makes no group: {error}") from None
        post = _GROUP.replace("{to}", group_id)
        return [self._seat(n, users[n], tokens[n], post) for n in range(members)]

    def pair_seats(self, pairs: int) -> list[Seat]:
        users = _names(2 * pairs)
        tokens = self._make_accounts(users)
        return [
            self._seat(n, users[n], tokens[n], _DIRECT.replace("{to}", users[n ^ 1]))
            for n in range(2 * pairs)
        ]

    def idle_seats(self, count: int) -> list[Seat]:
        users = _names(count)
        tokens = self._make_accounts(users)
        return [self._seat(n, users[n], tokens[n]) for n in range(count)]

    def mixed_seats(self, shape: MixedShape, count: int) -> list[Seat]:
        """Make users, the first of whom have the conversations of the shape."""
        users = _names(count)
        tokens = self._make_accounts(users)
        groups = [shape.members(conversation) for conversation in range(shape.pairs, shape.lanes)]
        try:
            group_ids = asyncio.run(
                make_groups(
                    self._url,
                    [users[theirs.start : theirs.stop] for theirs in groups],
                    [tokens[theirs.start : theirs.stop] for theirs in groups],
                )
            )
        except ClientError as error:
            raise BenchError(f"chatd makes no group: {error}") from None

        def post(seat: int) -> str:
            conversation = shape.conversation_of(seat)
            if conversation is None:
                return ""
            if conversation < shape.pairs:
                return _DIRECT.replace("{to}", users[seat ^ 1])
            return _GROUP.replace("{to}", group_ids[conversation - shape.pairs])

        return [self._seat(n, users[n], tokens[n], post(n)) for n in range(count)]

    def crowd(self, clients: int, missed: int, size: int) -> Crowd:
        """Make clients with conversations in common.

        Args:
            missed: messages of a group that are to be posted while its members are away.
            size: bytes of content.
        """
        users = _names(clients)
        *tokens, poster = self._make_accounts([*users, "poster"])
        members = chatd_crowd.memberships(clients)
        names = ([users[client] for client in theirs] for theirs in members)
        try:
            group_ids = asyncio.run(chatd_crowd.make_groups(self._url, poster, names))
        except ClientError as error:
            raise BenchError(f"chatd makes no group: {error}") from None
        seats = [
            replace(self._seat(n, users[n], tokens[n]), reading=Reading.AT_ONCE)
            for n in range(clients)
        ]
        conversations, of_seat = chatd_crowd.conversations_of(group_ids, members, users, missed)
        return Crowd(self._url, poster, size, seats, conversations, of_seat)

    def counters(self) -> dict[str, int]:
        """Of all nodes together, by the names of /metrics."""
        total: Counter[str] = Counter()
        for port in self._http_ports:
            total.update(_counters(port))
        return dict(total)

    def wait_until_alone(self) -> None:
        """Wait until the server has seen that every connection is gone.

        Raises:
            BenchError: it has not, in a time in which it should.
        """
        self._servers[0].wait_until(
            lambda: self.counters()["chatd_connections"] == 0, "still has connections"
        )

    @property
    def _url(self) -> str:
        return f"ws://{HOST}:{self._ports[0]}/"

    def _seat(self, number: int, user: str, token: str, post: str = "") -> Seat:
        node = number % len(self._ports)
        host, headers = f"{HOST}:{self._ports[node]}", {"Authorization": f"Bearer {token}"}
        return Seat(
            number,
            user,
            wire.upgrade(host, "/", headers),
            (_INFO,),
            post,
            comeback=wire.upgrade(host, "/?resume=1", headers),
            node=node,
        )

    def _make_accounts(self, users: Sequence[str]) -> list[str]:
        """Their tokens.

        Raises:
            BenchError: they cannot be made.
        """
        data = DataDir(self._folder / "data")
        self._stop()
        add_to_sqlite(data.database, users)
        self._start()
        return tokens_of(users, data.jwt_secret().encode())

    def _settings(self) -> dict[str, str]:
        """What it stands on, as variables."""
        return {"CHATD_DATA_DIR": str(self._folder / "data")}

    def _start(self) -> None:
        http_port, chat_port, presence_port = free_ports(3)
        server = ChildServer(
            self.name,
            [sys.executable, "-m", "chatd", "serve"],
            environment_with(
                self._settings()
                | {
                    "CHATD_HTTP_PORT": str(http_port),
                    "CHATD_CHAT_PORT": str(chat_port),
                    "CHATD_PRESENCE_PORT": str(presence_port),
                    "CHATD_BCRYPT_COST": "4",
                    "CHATD_RATE_LIMITS": "off",
                    "CHATD_DRAIN_SECONDS": "1",
                }
            ),
            self._folder / f"log{len(self._servers)}",
            self._core,
        )
        self._servers.append(server)
        self._ports.append(chat_port)
        self._http_ports.append(http_port)
        server.wait_until(lambda: _is_healthy(http_port))

    def _stop(self) -> None:
        super()._stop()
        self._http_ports.clear()


def environment_with(settings: Mapping[str, str]) -> dict[str, str]:
    """For a process of chatd: none of the caller's CHATD_ variables but these."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("CHATD_")}
    path = os.pathsep.join([str(ROOT), *_python_path()])
    return inherited | dict(settings) | {"PYTHONPATH": path}


def _is_healthy(http_port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, http_port, timeout=_HEALTH_SECONDS)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _counters(http_port: int) -> dict[str, int]:
    connection = http.client.HTTPConnection(HOST, http_port, timeout=_HTTP_SECONDS)
    try:
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        pairs = (line.split() for line in lines if not line.startswith("#"))
        return {name: int(value) for name, value in pairs}
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise BenchError(f"chatd gives no metrics: {error!r}") from None
    finally:
        connection.close()


def _names(count: int) -> list[str]:
    return [f"user{number}" for number in range(count)]


def _python_path() -> list[str]:
    path = os.environ.get("PYTHONPATH")
    return [path] if path else []
