"""The NameFilter of one process: nobody else makes names, so what it has is all there is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from loguru import logger

from chatd.errors import BackendError
from chatd.fabric.name_filter import of_user
from chatd.fabric.name_layers import Layers
from chatd.fabric.name_scan import add_all
from chatd.fabric.name_tally import NameTally
from chatd.metrics import Metrics
from chatd.stores.conversation_store import ConversationStore
from chatd.stores.user_store import UserStore

CAPACITY: Final = 20_000
"""Names of the first layer, of 36 kB."""
_RETRY_SECONDS: Final = 1.0


class MemoryNameFilter:
    """See the port."""

    def __init__(
        self, users: UserStore, conversations: ConversationStore, metrics: Metrics
    ) -> None:
        self._users = users
        self._conversations = conversations
        self._tally = NameTally(metrics)
        self._layers = Layers(CAPACITY)
        self._is_built = False
        self._building: asyncio.Task[None] | None = None

    @property
    def is_built(self) -> bool:
        return self._is_built

    async def start(self) -> None:
        self._building = asyncio.get_running_loop().create_task(self._build(), name="names")

    async def stop(self) -> None:
        if self._building is not None:
            self._building.cancel()
            await asyncio.wait([self._building])

    def seems_absent(self, name: str) -> bool:
        if self._is_built and name not in self._layers:
            return True
        self._tally.looked_up()
        return False

    async def is_absent(self, name: str) -> bool:
        self._tally.looked_up()
        if not self._is_built or name in self._layers:
            return False
        self._tally.told_absent(name)
        return True

    @asynccontextmanager
    async def entering(self, name: str) -> AsyncIterator[None]:
        self._layers.add(name)
        self._tell()
        yield

    def asked_in_vain(self, username: str) -> None:
        if self._is_built and of_user(username) in self._layers:
            self._tally.asked_in_vain()

    async def _build(self) -> None:
        while not self._is_built:
            try:
                await add_all(self._layers, self._users, self._conversations)
                self._is_built = True
                self._tell()
            except BackendError as error:
                logger.warning("the name filter was not built: {}", error)
                await asyncio.sleep(_RETRY_SECONDS)

    def _tell(self) -> None:
        layers = self._layers
        self._tally.holds(is_built=self._is_built, count=layers.count, size_bytes=layers.size_bytes)
