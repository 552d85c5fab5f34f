"""chatd.stores.session_cassandra: answers on the loop, failures as BackendErrors."""

import asyncio
from typing import Any

import pytest

from chatd.errors import BackendError, StartError
from chatd.stores.message_store_cassandra import CassandraMessageStore
from chatd.stores.session_cassandra import Cassandra
from tests.support.keyspace import Keyspace
from tests.support.proxied_cassandra import ask, proxied, session_through
from tests.support.puts import Talk, became
from tests.support.running import on_a_loop


async def answers_again(session: Cassandra) -> None:
    """Wait until it does."""
    async with asyncio.timeout(15):
        while True:
            try:
                await session.execute(ask())
                return
            except BackendError:
                await asyncio.sleep(0.05)


@on_a_loop
async def test_what_the_server_refuses_is_no_passing_failure(keyspace: Keyspace) -> None:
    session = keyspace.session()
    for query in ("SELECT x FROM nowhere.nothing", "nonsense"):
        with pytest.raises(StartError, match="Cassandra refuses: ") as refusal:
            await session.run(query)
        assert "\n" not in str(refusal.value)


@on_a_loop
async def test_a_keyspace_that_is_not_there_is_named(keyspace: Keyspace) -> None:
    with pytest.raises(StartError, match="no keyspace nowhere: run `chatd migrate`"):
        await keyspace.session().use("nowhere")


@on_a_loop
async def test_the_datacenter_is_that_of_the_hosts(keyspace: Keyspace) -> None:
    session = keyspace.session()
    assert (session.datacenter, session.nodes) == ("datacenter1", 1)
    assert session.has_all_everywhere
    key = [b"x", b"\0\0\0\0"]
    assert session.owner(key) == session.owner([b"y", b"\0\0\0\1"])


@pytest.mark.slow
@on_a_loop
async def test_what_is_under_way_fails_with_the_connection_and_the_next_is_found() -> None:
    with proxied() as proxy:
        async with session_through(proxy) as session:
            proxy.stall()
            waiting = [session.execute(ask()) for _ in range(5)]
            proxy.cut()
            for future in waiting:
                with pytest.raises(BackendError, match="Cassandra: "):
                    await future
            with pytest.raises(BackendError, match="Cassandra: "):
                await session.execute(ask())
            with pytest.raises(BackendError):
                await session.run_on_each("SELECT key FROM system.local")
            proxy.heal()
            await answers_again(session)


@pytest.mark.slow
@on_a_loop
async def test_a_connection_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when nobody closes it."""
    monkeypatch.setattr("chatd.stores.open_cassandra._HEARTBEAT_SECONDS", 0.2)
    with proxied() as proxy:
        async with session_through(proxy) as session:
            proxy.stall()
            with pytest.raises(BackendError) as failure:
                await session.execute(ask())
            assert "no answer within" not in str(failure.value)
            proxy.heal()
            await answers_again(session)


@on_a_loop
async def test_closing_fails_what_is_under_way() -> None:
    with proxied() as proxy:
        async with session_through(proxy) as session:
            proxy.stall()
            waiting = session.execute(ask())
        assert waiting.done()
        with pytest.raises(BackendError, match="the session is closed"):
            await waiting
        with pytest.raises(BackendError):
            await session.execute(ask())


@pytest.mark.slow
@on_a_loop
async def test_a_store_whose_server_is_gone_says_so(keyspace: Keyspace) -> None:
    talk = Talk()
    at = talk.post()
    talk.edit(at)
    with proxied() as proxy:
        async with session_through(proxy) as session:
            await session.use(keyspace.name)
            store = await CassandraMessageStore.prepare(session)
            proxy.cut()
            here = talk.conversation_id
            attempts: list[Any] = [
                store.put(talk.puts),
                store.read(here, after=0, before=9, limit=9),
                store.messages(here, after=0, before=9, limit=9, newest=True),
                store.posts(here, after=0, before=9, limit=9),
            ]
            for attempt in attempts:
                with pytest.raises(BackendError, match="Cassandra: "):
                    await attempt
            proxy.heal()
            await answers_again(session)
            await store.put(talk.puts)
            found = await store.read(here, after=0, before=9, limit=9)
            assert found == became(talk.puts)[0]
