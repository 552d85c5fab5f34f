"""Cassandra is away for so long that the ledger takes no more: sends are refused until it is back.

In this process: the bound of a daemon is five million events.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import pytest

from chatd import app_backends, config
from chatd.app import App, Ports
from chatd.stores.batches import Batches
from protocol.errors import ErrorCode
from testclients import http
from testclients.client import ChatClient
from testclients.errors import RequestFailed
from testclients.positions import Positions
from tests.e2e.town import PASSWORD
from tests.support.backends import Backends
from tests.support.loop import run
from tests.support.proxied_cassandra import proxied
from tests.support.stored_events import stored
from tests.support.worker import eventually

pytestmark = [
    pytest.mark.slow,
    # What the HTTP framework says of itself, which a daemon of its own does not show.
    pytest.mark.filterwarnings("ignore::litestar.exceptions.LitestarDeprecationWarning"),
]

UNSTORED: Final = 60
IN_MEMORY: Final = 20


@asynccontextmanager
async def running(settings: dict[str, str]) -> AsyncIterator[Ports]:
    """A daemon on the loop of the test."""
    ports = {f"{role}_port": "0" for role in ("http", "chat", "presence")}
    values = settings | ports | {"bcrypt_cost": "4", "rate_limits": "off"}
    named = {f"CHATD_{name.upper()}": value for name, value in values.items()}
    app = App(config.load(None, named, {}))
    ready: asyncio.Future[Ports] = asyncio.get_running_loop().create_future()
    app.when_ready = ready.set_result
    serving = asyncio.create_task(app.run(None))
    serving.add_done_callback(lambda _: ready.cancel())
    try:
        yield await ready
    finally:
        app.stop()
        await serving


def test_beyond_it_sends_are_refused_and_repeated_when_it_is_back(
    backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounded = partial(Batches, events_in_memory=IN_MEMORY, events_unstored=UNSTORED)
    monkeypatch.setattr(app_backends, "Batches", bounded)

    async def has_caught_up(chat: str) -> bool:
        async with stored(backends.settings) as there:
            wanted = list(range(1, UNSTORED + 3))
            return await there.seqs(chat, head=UNSTORED + 2) == wanted

    async def main() -> None:
        with proxied() as proxy:
            hosts = f"127.0.0.1:{proxy.port}"
            async with running(backends.settings | {"cassandra_hosts": hosts}) as ports:
                ann, ben = [await register(ports, name) for name in ("bound.ann", "bound.ben")]
                url, positions = f"ws://127.0.0.1:{ports.chat}/", Positions()
                async with (
                    ChatClient.connect(url, ann.token) as writer,
                    ChatClient.connect(url, ben.token, positions=positions) as reader,
                ):
                    proxy.cut()
                    refused = await fill(writer, reader.user)
                    # Nothing else is touched: the last that was acked is read.
                    (last,) = (await writer.history_direct(reader.user, limit=1)).messages
                    assert last.seq == UNSTORED
                    assert await outcome(writer, reader.user, refused) is ErrorCode.UNAVAILABLE
                    proxy.heal()
                    while await outcome(writer, reader.user, refused) is not None:
                        pass
                    await writer.send_direct(reader.user, "the last")
                    whole = await reader.history_direct(writer.user, limit=200)
                    numbers = [f"{n}" for n in range(UNSTORED + 1)]
                    assert [one.content for one in whole.messages] == [*numbers, "the last"]
                    await eventually(partial(has_caught_up, whole.chat_id))
                    await reader.ping()
                    assert positions.problems == []
                    assert positions.last == {whole.chat_id: UNSTORED + 2}

    run(main(), seconds=60)


async def register(ports: Ports, name: str) -> http.Login:
    return await http.register(f"http://127.0.0.1:{ports.http}", name, PASSWORD)


async def outcome(writer: ChatClient, to: str, number: int) -> ErrorCode | None:
    """What a message is answered with, each time it is sent; None for an ack."""
    try:
        ack = await writer.send_direct(to, f"{number}", f"key-{number}")
    except RequestFailed as refused:
        assert refused.temporary
        return refused.code
    assert not ack.duplicate, "what was refused was not stored"
    return None


async def fill(writer: ChatClient, to: str) -> int:
    """Send until it is refused: the number of what was."""
    number = 0
    while (code := await outcome(writer, to, number)) is None:
        number += 1
    assert (code, number) == (ErrorCode.UNAVAILABLE, UNSTORED)
    return number
