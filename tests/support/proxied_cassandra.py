"""A session with Cassandra that can be cut off."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cassandra.query import SimpleStatement, Statement

from chatd.stores.open_cassandra import Hosts
from chatd.stores.session_cassandra import Cassandra
from tests.support.proxy import Proxy
from tests.support.services import service


def ask() -> Statement:
    return SimpleStatement("SELECT key FROM system.local")


def proxied() -> Proxy:
    host, _, port = service("cassandra")["CHATD_CASSANDRA_HOSTS"].rpartition(":")
    return Proxy(host, int(port))


@asynccontextmanager
async def session_through(proxy: Proxy) -> AsyncIterator[Cassandra]:
    session = await Cassandra.connect(Hosts([f"127.0.0.1:{proxy.port}"]))
    try:
        yield session
    finally:
        await session.close()
