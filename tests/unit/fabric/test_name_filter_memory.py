"""chatd.fabric.name_filter_memory: its building. The rest is the contract of the port."""

from pathlib import Path

import pytest
from loguru import logger

from chatd.fabric import name_filter_memory as module
from chatd.fabric.name_filter import of_user
from chatd.fabric.name_filter_memory import MemoryNameFilter
from chatd.metrics import Metrics
from chatd.stores.admission_sqlite import Admission
from chatd.stores.conversation_store_sqlite import SqliteConversationStore
from chatd.stores.user_store_sqlite import SqliteUserStore
from tests.support.builders import add_users, failing, held, sqlite_threads
from tests.support.running import on_a_loop, turns, until


@on_a_loop
async def test_a_store_that_fails_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.01)
    async with sqlite_threads(tmp_path / "chatd.sqlite") as (writer, reader):
        users = SqliteUserStore(writer, reader, Admission())
        await add_users(users, "ann")
        metrics = Metrics()
        names = MemoryNameFilter(users, SqliteConversationStore(writer, reader), metrics)
        async with failing(reader, "account"):
            warnings: list[str] = []
            handler = logger.add(warnings.append, level="WARNING", format="{message}")
            await names.start()
            await until(lambda: bool(warnings))
            logger.remove(handler)
            assert not names.is_built
        await until(lambda: names.is_built)
        assert not await names.is_absent(of_user("ann"))
        assert (metrics.names_built, metrics.names_known) == (1, 1)
        await names.stop()


@on_a_loop
async def test_what_enters_while_it_is_built_is_in_it(tmp_path: Path) -> None:
    async with sqlite_threads(tmp_path / "chatd.sqlite") as (writer, reader):
        users = SqliteUserStore(writer, reader, Admission())
        names = MemoryNameFilter(users, SqliteConversationStore(writer, reader), Metrics())
        async with held(reader):
            await names.start()
            await turns()
            async with names.entering(of_user("ben")):
                assert not await names.is_absent(of_user("nobody"))
        await until(lambda: names.is_built)
        assert [await names.is_absent(of_user(name)) for name in ("ben", "nobody")] == [False, True]
        await names.stop()


@on_a_loop
async def test_it_can_be_stopped_while_it_is_built(tmp_path: Path) -> None:
    async with sqlite_threads(tmp_path / "chatd.sqlite") as (writer, reader):
        users = SqliteUserStore(writer, reader, Admission())
        names = MemoryNameFilter(users, SqliteConversationStore(writer, reader), Metrics())
        async with held(reader):
            await names.start()
            await turns()
            await names.stop()
        assert not names.is_built
