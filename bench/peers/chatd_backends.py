"""chatd of this checkout on PostgreSQL, Cassandra and Redis, as one node or several."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bench.backends import Backends
from bench.peers.chatd import Chatd
from bench.peers.chatd_accounts import tokens_of
from bench.services import Services

_SETTLE_POLL_SECONDS: Final = 0.1
"""Each look is some CPU of the server's."""


class ChatdOnBackends(Chatd):
    description = "on PostgreSQL, Cassandra and Redis, durable: every ack after a commit"

    def __init__(self, folder: Path, core: int | None, services: Services) -> None:
        super().__init__(folder, core)
        self._services = services
        self._backends = Backends(services)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._backends)
            super().__enter__()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        try:
            super().__exit__(kind, error, tb)
        finally:
            self._stack.close()

    @property
    def services(self) -> Mapping[str, Sequence[int]]:
        return self._services.pids

    def settle(self) -> None:
        """The message store is filled after the acks."""
        self._servers[0].wait_until(
            lambda: self.counters()["chatd_history_unstored"] == 0,
            "still has events that the message store lacks",
            poll_seconds=_SETTLE_POLL_SECONDS,
        )

    def start_nodes(self, count: int) -> None:
        while len(self._servers) < count:
            self._start()

    def _make_accounts(self, users: Sequence[str]) -> list[str]:
        self._backends.add_accounts(users)
        return tokens_of(users, self._backends.secret)

    def _settings(self) -> dict[str, str]:
        return self._backends.settings
