"""chatd itself, of this checkout: embedded and durable, on a data folder of its own."""

import asyncio
import http.client
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench import wire
from bench.errors import BenchError
from bench.peers import chatd_crowd
from bench.peers.chatd_accounts import make_group, register
from bench.peers.chatd_crowd import Crowd
from bench.peers.child import ChildPeer
from bench.plan import Dialect, Reading, Seat, Step
from bench.processes import HOST, ChildServer, free_ports
from testclients.errors import ClientError

_ROOT: Final = Path(__file__).resolve().parents[2]
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
    _http_port = 0

    def group_seats(self, members: int) -> list[Seat]:
        users = _names(members)
        tokens = register(self._http_port, users)
        try:
            group_id = asyncio.run(make_group(self._url, users, tokens))
        except ClientError as error:
            raise BenchError(f"chatd makes no group: {error}") from None
        post = _GROUP.replace("{to}", group_id)
        return [self._seat(n, users[n], tokens[n], post) for n in range(members)]

    def pair_seats(self, pairs: int) -> list[Seat]:
        users = _names(2 * pairs)
        tokens = register(self._http_port, users)
        return [
            self._seat(n, users[n], tokens[n], _DIRECT.replace("{to}", users[n ^ 1]))
            for n in range(2 * pairs)
        ]

    def idle_seats(self, count: int) -> list[Seat]:
        users = _names(count)
        tokens = register(self._http_port, users)
        self._stop()
        self._start()
        return [self._seat(n, users[n], tokens[n]) for n in range(count)]

    def crowd(self, clients: int, missed: int, size: int) -> Crowd:
        """Make clients with conversations in common.

        Args:
            missed: messages of a group that are to be posted while its members are away.
            size: bytes of content.
        """
        users = _names(clients)
        *tokens, poster = register(self._http_port, [*users, "poster"])
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
        """What the server counts, by the names of /metrics.

        Raises:
            BenchError: it does not say.
        """
        connection = http.client.HTTPConnection(HOST, self._http_port, timeout=_HTTP_SECONDS)
        try:
            connection.request("GET", "/metrics")
            lines = connection.getresponse().read().decode().splitlines()
            pairs = (line.split() for line in lines if not line.startswith("#"))
            return {name: int(value) for name, value in pairs}
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise BenchError(f"chatd gives no metrics: {error!r}") from None
        finally:
            connection.close()

    def wait_until_alone(self) -> None:
        """Wait until the server has seen that every connection is gone.

        Raises:
            BenchError: it has not, in a time in which it should.
        """
        self.server.wait_until(
            lambda: self.counters()["chatd_connections"] == 0, "still has connections"
        )

    @property
    def _url(self) -> str:
        return f"ws://{HOST}:{self._port}/"

    def _seat(self, number: int, user: str, token: str, post: str = "") -> Seat:
        host, headers = f"{HOST}:{self._port}", {"Authorization": f"Bearer {token}"}
        return Seat(
            number,
            user,
            wire.upgrade(host, "/", headers),
            (_INFO,),
            post,
            comeback=wire.upgrade(host, "/?resume=1", headers),
        )

    def _start(self) -> None:
        self._http_port, self._port, presence_port = free_ports(3)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("CHATD_")}
        environment |= {
            "CHATD_HTTP_PORT": str(self._http_port),
            "CHATD_CHAT_PORT": str(self._port),
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

    def _is_healthy(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self._http_port, timeout=_HEALTH_SECONDS)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _names(count: int) -> list[str]:
    return [f"user{number}" for number in range(count)]


def _python_path() -> list[str]:
    path = os.environ.get("PYTHONPATH")
    return [path] if path else []
