"""The composition root: configuration -> adapters -> node. With the `app_` modules it alone knows
adapters."""

import asyncio
import errno
import resource
import socket as sockets
from collections.abc import Callable, Collection, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack
from typing import Any, Final, NamedTuple, TypeVar

from loguru import logger

from chatd import __version__
from chatd.config import Config
from chatd.config_rules import PORT_MAX
from chatd.data_dir import DataDir
from chatd.errors import BackendAway, BackendError, StartError
from chatd.metrics import Metrics
from chatd.node import Adapters, Listeners, Node

ROLES: Final = ("http", "chat", "presence")
_SCHEMES: Final = {"http": "http", "chat": "ws", "presence": "ws"}
_FILES_BESIDES_CONNECTIONS: Final = 200
_BACKLOG: Final = 4096

T = TypeVar("T")


class Ports(NamedTuple):
    """The ports that are really listened on; 0 for a role that the process does not have."""

    http: int
    chat: int
    presence: int


class _Stopped(Exception):
    """Before it was ready."""


def raise_file_limit() -> int:
    """Let the process open as many files as it may; how many connections fit under that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(hard - _FILES_BESIDES_CONNECTIONS, 100)


def bind(host: str, port: int, what: str, *, is_shared: bool = False) -> sockets.socket:
    """A bound socket that listens; one that `is_shared` with other processes does not yet, since
    connections would come before anybody is ready for them.

    Raises:
        StartError: the port is taken, or the address is not this machine's.
    """
    listener: sockets.socket | None = None
    try:
        family, kind, protocol, _, address = sockets.getaddrinfo(
            host, port, type=sockets.SOCK_STREAM, flags=sockets.AI_PASSIVE
        )[0]
        listener = sockets.socket(family, kind, protocol)
        listener.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
        if is_shared:
            listener.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEPORT, 1)
        listener.bind(address)
        if not is_shared:
            listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        if listener is not None:
            listener.close()
        mend = f"stop what uses it or set CHATD_{what.upper()}_PORT"
        if error.errno != errno.EADDRINUSE and error.errno != errno.EACCES:
            mend = "set CHATD_HOST to an address of this machine"
        raise StartError(
            f"cannot listen on {host}:{port} ({what}): {error.strerror}; {mend}"
        ) from None
    return listener


def reserve(config: Config, roles: Collection[str], *, workers: int) -> list[sockets.socket]:
    """The ports of several workers, bound so that the workers can listen there and nobody else.

    Raises:
        StartError: one is taken, or is to be chosen by the system.
    """
    ports = _ports(config)
    for role in roles:
        if not ports[role]:
            raise StartError(
                f"CHATD_{role.upper()}_PORT is 0, and several workers cannot each get a port of"
                " the system's choice: set one"
            )
    own = config.own_http_port
    if own and own + workers - 1 > PORT_MAX:
        raise StartError(f"CHATD_OWN_HTTP_PORT is too high for {workers} workers")
    with ExitStack() as stack:
        # Whether others listen there: a shared port would join them.
        for number in range(workers if own else 0):
            stack.enter_context(bind(config.host, own + number, "own_http"))
        for role in roles:
            stack.enter_context(bind(config.host, ports[role], role))
    return [bind(config.host, ports[role], role, is_shared=True) for role in roles]


class App:
    """One process of chatd."""

    def __init__(
        self, config: Config, *, roles: Collection[str] = ROLES, worker: int | None = None
    ) -> None:
        """`worker` is the number, from 1, of a process that shares its ports with others."""
        self._config = config
        self._roles = roles
        self._worker = worker
        self._stopping = asyncio.Event()
        self.when_ready: Callable[[Ports], None] | None = None
        """Called once everything is listened on."""

    @property
    def host(self) -> str:
        return self._config.host

    def stop(self) -> None:
        """Begin to stop; `run` returns when everything is written and closed."""
        self._stopping.set()

    async def run(self, data_dir: DataDir | None, *, with_demo: bool = False) -> None:
        """Serve until `stop`. Embedded, the data folder's lock is held by the caller; on the
        backends there is none.

        Raises:
            StartError: a port, the database or a backend cannot be used.
        """
        config = self._config
        max_connections = raise_file_limit()
        metrics = Metrics()
        metrics.worker = self._worker or 0
        listeners = self._listen()
        try:
            async with AsyncExitStack() as stack:
                try:
                    adapters = await self._unless_stopped(
                        stack.enter_async_context(_adapters(config, data_dir, metrics))
                    )
                    node = Node(config, adapters, _secret(config, data_dir))
                    await node.start(
                        listeners, max_connections=max_connections, with_demo=with_demo
                    )
                except BackendError as error:
                    raise BackendAway(f"lost while starting: {error}") from error
                ports = Ports(*(_port(listener) for listener in listeners[: len(ROLES)]))
                self._announce(ports, data_dir)
                await self._stopping.wait()
                await node.stop()
        except _Stopped:
            logger.info("stopped before it was ready")

    def _listen(self) -> Listeners:
        config, is_shared = self._config, self._worker is not None
        ports = _ports(config)
        http, chat, presence = (
            bind(config.host, ports[role], role, is_shared=is_shared)
            if role in self._roles
            else None
            for role in ROLES
        )
        own = None
        if config.own_http_port:
            own = bind(config.host, config.own_http_port + (self._worker or 1) - 1, "own_http")
        return Listeners(http, chat, presence, own)

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work returns. Raises _Stopped: `stop` came first."""
        working = asyncio.create_task(work)
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait({working})
            raise _Stopped
        return working.result()

    def _announce(self, ports: Ports, data_dir: DataDir | None) -> None:
        doors = [
            f"{role + ' ' if role != 'http' else ''}{_SCHEMES[role]}://{self.host}:{port}"
            for role, port in zip(ROLES, ports, strict=True)
            if role in self._roles
        ]
        logger.bind(http=ports.http, chat=ports.chat, presence=ports.presence).info(
            "chatd {} is ready: {} {}",
            __version__,
            " ".join(doors),
            "on the backends" if data_dir is None else f"data {data_dir.path}",
        )
        if self.when_ready is not None:
            self.when_ready(ports)


def _adapters(
    config: Config, data_dir: DataDir | None, metrics: Metrics
) -> AbstractAsyncContextManager[Adapters]:
    # Imported when they are chosen: the clients of the backends would be a good part of the memory
    # of an embedded process.
    if data_dir is not None:
        from chatd.app_embedded import embedded

        return embedded(config, data_dir, metrics)
    from chatd.app_backends import on_backends

    return on_backends(config, metrics)


def _ports(config: Config) -> dict[str, int]:
    return {
        "http": config.http_port,
        "chat": config.chat_port,
        "presence": config.presence_port,
    }


def _secret(config: Config, data_dir: DataDir | None) -> bytes:
    secret = config.jwt_secret
    if not secret:
        assert data_dir is not None, "the configuration wants a secret beside the backends"
        secret = data_dir.jwt_secret()
    return secret.encode()


def _port(listener: sockets.socket | None) -> int:
    port: int = 0 if listener is None else listener.getsockname()[1]
    return port
