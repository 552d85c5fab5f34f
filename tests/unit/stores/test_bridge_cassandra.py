"""chatd.stores.bridge_cassandra: answers on the loop, failures as BackendErrors."""

import asyncio
import threading
from typing import Any

import pytest
from cassandra.query import SimpleStatement

from chatd.errors import BackendError
from chatd.stores import bridge_cassandra as module
from tests.support.keyspace import Keyspace
from tests.support.proxied_cassandra import ask, proxied, session_through
from tests.support.running import on_a_loop


@on_a_loop
async def test_many_answers_wake_the_loop_once(
    keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = keyspace.session()
    bridge = session._bridge
    wakings: list[int] = []
    resolve, hand_over = bridge._resolve, bridge._hand_over
    all_have_come = threading.Event()

    def counting() -> None:
        wakings.append(len(bridge._answered))
        resolve()

    def handing_over(call: Any) -> None:
        hand_over(call)
        if len(bridge._answered) == 50:
            all_have_come.set()

    monkeypatch.setattr(bridge, "_resolve", counting)
    monkeypatch.setattr(bridge, "_hand_over", handing_over)
    futures = [session.execute(ask()) for _ in range(50)]
    # The loop is busy meanwhile: this is its thread.
    assert all_have_come.wait(10)
    assert [await future for future in futures] == [[("local",)]] * 50
    assert wakings == [50]
    await session.write([ask() for _ in range(100)])
    assert wakings == [50, 1]


@on_a_loop
async def test_too_many_at_once_are_refused(
    keyspace: Keyspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REQUESTS", 3)
    session = keyspace.session()
    first = session.write([ask(), ask()])
    with pytest.raises(BackendError, match="3 requests are under way"):
        session.write([ask(), ask()])
    last = session.execute(ask())
    await asyncio.gather(first, last)
    await session.write([ask(), ask(), ask()])


@on_a_loop
async def test_one_of_many_that_fails_fails_the_call(keyspace: Keyspace) -> None:
    session = keyspace.session()
    with pytest.raises(BackendError, match=r"Cassandra: .*does not exist"):
        await session.write([ask(), SimpleStatement("SELECT x FROM nowhere.nothing"), ask()])
    assert await session.execute(ask()) == [("local",)]


@on_a_loop
async def test_who_waits_may_stop_waiting(keyspace: Keyspace) -> None:
    session = keyspace.session()
    left = asyncio.ensure_future(session.execute(ask()))
    left.cancel()
    assert await session.execute(ask()) == [("local",)]
    assert left.cancelled()


@pytest.mark.slow
@on_a_loop
async def test_what_is_not_answered_in_time_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with proxied() as proxy:
        async with session_through(proxy) as session:
            proxy.stall()
            monkeypatch.setattr(module, "SECONDS", 0.05)
            with pytest.raises(BackendError, match=r"no answer within 0\.05 s"):
                await session.execute(ask())
            monkeypatch.undo()
            # It is still under way, until its answer comes.
            assert session._bridge._under_way == 1
            proxy.heal()
            assert await session.execute(ask()) == [("local",)]
            assert session._bridge._under_way == 0


@on_a_loop
async def test_nothing_is_answered_at_once(keyspace: Keyspace) -> None:
    assert await keyspace.session().write([]) == []
