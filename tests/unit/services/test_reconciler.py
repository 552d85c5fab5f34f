"""chatd.services.reconciler: what the bus did not bring is heard nevertheless."""

from pathlib import Path

import pytest

from chatd.services.reconciler import Reconciler
from chatd.stores.change_feed_postgres import PostgresChangeFeed
from chatd.stores.user_store_postgres import PostgresUserStore
from protocol.close import CloseCode
from tests.support.builders import NOW_MS, Core, Reader, add_users, core
from tests.support.database import empty_database
from tests.support.running import on_a_loop, until
from tests.support.services import postgres_database


@pytest.fixture
def database() -> str:
    return postgres_database()


async def closed(node: Core, reader: Reader) -> None:
    """The feed is read at once, and ends the connection."""
    assert node.bus.reconnected is not None
    node.bus.reconnected()
    await until(lambda: reader.closes == [CloseCode.TOKEN_REVOKED])


@on_a_loop
async def test_each_end_of_tokens_counts(database: str, tmp_path: Path) -> None:
    async with empty_database(database) as postgres, core(tmp_path, "alice", "bob") as node:
        users = PostgresUserStore(postgres)
        await add_users(users, "alice", "bob")
        reconciler = Reconciler(
            PostgresChangeFeed(postgres),
            node.ledger,
            node.sequencer,
            node.hub,
            node.control,
            node.presence,
            node.bus,
        )
        await reconciler.start()
        try:
            before = await node.connect("alice")
            await users.revoke_all("alice", NOW_MS)
            await closed(node, before)
            again, bob = await node.connect("alice"), await node.connect("bob")
            await users.revoke_all("alice", NOW_MS + 1)
            await users.revoke_all("bob", NOW_MS + 1)
            await closed(node, bob)
            assert again.closes == [CloseCode.TOKEN_REVOKED]
        finally:
            await reconciler.stop()
