"""The events that Cassandra has, asked behind the back of every node."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from chatd.events import Event
from chatd.stores.message_store_cassandra import CassandraMessageStore
from chatd.stores.open_cassandra import Hosts
from chatd.stores.session_cassandra import Cassandra

_MOST: Final = 100_000
_AHEAD: Final = 10_000
"""So far beyond the head something is looked for that ought not to be there."""


class Stored:
    """Made by `stored`."""

    def __init__(self, store: CassandraMessageStore) -> None:
        self._store = store

    async def events(self, conversation_id: str, *, head: int) -> list[Event]:
        """All of a conversation that are there, ascending; also those beyond the head."""
        before = head + _AHEAD
        return await self._store.read(conversation_id, after=0, before=before, limit=_MOST)

    async def seqs(self, conversation_id: str, *, head: int) -> list[int]:
        return [event.seq for event in await self.events(conversation_id, head=head)]


@asynccontextmanager
async def stored(settings: Mapping[str, str]) -> AsyncIterator[Stored]:
    """With the settings of a node, by name, without CHATD_."""
    hosts = Hosts(settings["cassandra_hosts"].split(","))
    cassandra = await Cassandra.connect(hosts)
    try:
        await cassandra.use(settings["cassandra_keyspace"])
        yield Stored(await CassandraMessageStore.prepare(cassandra))
    finally:
        await cassandra.close()
