"""A keyspace of Cassandra for the tests of a run: made once, emptied before each, dropped at
the end."""

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from chatd.stores import migrate_cassandra
from chatd.stores.message_store_cassandra import CassandraMessageStore
from chatd.stores.open_cassandra import Hosts, Opened, open_session
from chatd.stores.session_cassandra import Cassandra
from tests.support import loop
from tests.support.proxy import Proxy
from tests.support.services import service


class Keyspace:
    """Connections that outlive the loops of the tests, on a keyspace with all tables."""

    def __init__(self, hosts: Hosts, opened: Opened, name: str) -> None:
        self._hosts = hosts
        self._opened = opened
        self.name = name

    async def store(self) -> CassandraMessageStore:
        """The message store of it, for the running loop."""
        return await CassandraMessageStore.prepare(self.session())

    async def lost_store(self) -> CassandraMessageStore:
        """The same without connections: whatever it is asked fails."""
        async with self._connected(self._hosts) as store:
            return store

    @asynccontextmanager
    async def proxied_store(self) -> AsyncIterator[tuple[CassandraMessageStore, Proxy]]:
        """The same behind a proxy."""
        host, _, port = self._hosts.addresses[0].rpartition(":")
        with Proxy(host, int(port)) as proxy:
            async with self._connected(Hosts([f"127.0.0.1:{proxy.port}"])) as store:
                yield store, proxy

    @asynccontextmanager
    async def _connected(self, hosts: Hosts) -> AsyncIterator[CassandraMessageStore]:
        session = await Cassandra.connect(hosts)
        try:
            await session.use(self.name)
            yield await CassandraMessageStore.prepare(session)
        finally:
            await session.close()

    async def empty(self) -> None:
        await self.session().run("TRUNCATE event")

    def session(self) -> Cassandra:
        """For the running loop; not to be closed."""
        session = Cassandra(self._opened)
        session.keyspace = self.name
        return session


@contextmanager
def own_keyspace() -> Iterator[Keyspace]:
    hosts = Hosts(service("cassandra")["CHATD_CASSANDRA_HOSTS"].split(","))
    name = f"test_{uuid.uuid4().hex[:12]}"
    opened = open_session(hosts)

    async def migrate() -> None:
        await migrate_cassandra.migrate(Cassandra(opened), name)

    async def drop() -> None:
        await Cassandra(opened).run(f"DROP KEYSPACE IF EXISTS {name}")

    try:
        loop.run(migrate())
        yield Keyspace(hosts, opened, name)
    finally:
        loop.run(drop())
        opened.cluster.shutdown()
