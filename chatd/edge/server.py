"""Listening, handshakes, and the end: what both WebSocket daemons share.

Limit: `max_connections` open ones; at the limit an upgrade is answered 503.
"""

import asyncio
import socket as sockets
from collections.abc import Sequence
from http import HTTPStatus

from loguru import logger
from websockets.http11 import Request

from chatd.edge import handshake
from chatd.edge.connection import Connection, NodeContext
from chatd.edge.websocket import WebSocket
from chatd.errors import BackendError, ChatError
from chatd.services.accounts import Accounts
from protocol.close import CloseCode
from protocol.errors import ErrorCode
from protocol.session import Door


class DoorServer:
    """One of the two sockets that clients connect to. The Gate of its connections."""

    def __init__(
        self,
        door: Door,
        accounts: Accounts,
        node: NodeContext,
        *,
        allowed_origins: Sequence[str],
        max_connections: int,
    ) -> None:
        self._door = door
        self._accounts = accounts
        self._node = node
        self._allowed_origins = allowed_origins
        self._max_connections = max_connections
        self._sockets: dict[WebSocket, Connection | None] = {}
        self._server: asyncio.Server | None = None
        self._is_draining = False
        self._all_gone: asyncio.Future[None] | None = None

    @property
    def is_accepting(self) -> bool:
        return self._server is not None and self._server.is_serving() and not self._is_draining

    async def listen(self, listener: sockets.socket) -> None:
        """Accept connections on a bound socket."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: WebSocket(self), sock=listener, backlog=4096
        )

    async def drain(self, seconds: float) -> None:
        """Accept nothing more, close every connection with 1001, and wait until they are gone."""
        self._is_draining = True
        if self._server is not None:
            self._server.close()
        for socket in tuple(self._sockets):
            socket.close(CloseCode.DRAIN)
        if self._sockets:
            self._all_gone = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._all_gone], timeout=seconds)
        for socket in tuple(self._sockets):
            socket.transport.abort()

    # Gate

    def opened(self, socket: WebSocket) -> None:
        self._sockets[socket] = None

    def knock(self, socket: WebSocket, request: Request) -> None:
        try:
            if self._is_draining:
                raise handshake.Refused(
                    HTTPStatus.SERVICE_UNAVAILABLE, "this node is stopping; try another"
                )
            if len(self._sockets) > self._max_connections:
                raise handshake.Refused(
                    HTTPStatus.SERVICE_UNAVAILABLE, "this node has no room; try again later"
                )
            knock = handshake.read(request, self._allowed_origins)
        except handshake.Refused as refused:
            self._refuse(socket, refused.status, refused.text)
            return
        self._node.tasks.start(self._admit(socket, knock), name="handshake")

    def lost(self, socket: WebSocket) -> None:
        self._sockets.pop(socket, None)
        if not self._sockets and self._all_gone is not None and not self._all_gone.done():
            self._all_gone.set_result(None)

    async def _admit(self, socket: WebSocket, knock: handshake.Knock) -> None:
        try:
            principal = await self._accounts.authenticate(knock.token)
        except ChatError as error:
            status = (
                HTTPStatus.UNAUTHORIZED
                if error.code is ErrorCode.UNAUTHENTICATED
                else HTTPStatus.SERVICE_UNAVAILABLE
            )
            self._refuse(socket, status, error.message)
            return
        except BackendError as error:
            logger.warning("a handshake failed: {}", error)
            self._refuse(
                socket, HTTPStatus.SERVICE_UNAVAILABLE, "accounts cannot be read now; try again"
            )
            return
        if socket not in self._sockets:
            return
        if self._is_draining:
            self._refuse(
                socket, HTTPStatus.SERVICE_UNAVAILABLE, "this node is stopping; try another"
            )
            return
        connection = Connection(socket, self._door, principal, self._node)
        self._sockets[socket] = connection
        self._node.metrics.connections += 1
        self._node.metrics.connections_opened += 1
        socket.accept(connection, knock.subprotocol)
        try:
            await connection.open(resumes=knock.resumes)
        except BackendError as error:
            logger.warning("{} could not be subscribed: {}", principal.username, error)
            socket.close(CloseCode.INTERNAL_ERROR)

    def _refuse(self, socket: WebSocket, status: HTTPStatus, text: str) -> None:
        self._node.metrics.handshakes_refused += 1
        logger.info("handshake from {} refused: {} {}", socket.peer, status.value, text)
        headers = {"WWW-Authenticate": "Bearer"} if status is HTTPStatus.UNAUTHORIZED else None
        socket.refuse(status, text, headers)
