"""A bus that loses one publish in a hundred and mixes up the rest: no client notices."""

import asyncio
from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest

from chatd.fabric.bus_redis import RedisBus
from chatd.metrics import Metrics
from protocol.pushes import GroupChat
from testclients.client import ChatClient
from tests.e2e.frames import club, history, names, post
from tests.e2e.town import Town, seqs
from tests.support.backends import Backends
from tests.support.loop import run, until
from tests.support.lossy_bus import LossyBus
from tests.support.node import Node
from tests.support.nodes_together import nodes_together
from tests.support.proxy import Proxy
from tests.support.running import on_a_quick_loop

SECONDS: Final = 120.0
FOUND_SECONDS: Final = 40.0
"""Heads are compared every ten."""
SLOW_SECONDS: Final = 0.1
"""So long the database of one node takes: what is read as missing may come meanwhile."""
PUBLISHES: Final = 1_000
POSTS: Final = 400
UNDER_WAY: Final = 2


class Pair(NamedTuple):
    here: Node
    there: Node
    """Its database is slow."""
    bus: LossyBus


@pytest.fixture(scope="module")
def pair(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with (
        LossyBus.before(backends.settings["redis_url"]) as bus,
        Proxy.before(backends.database_url) as database,
    ):
        settings = [{"redis_url": bus.url}, {"redis_url": bus.url, "database_url": database.url}]
        with nodes_together(tmp_path_factory.mktemp("pair"), backends, settings) as (here, there):
            database.delay(SLOW_SECONDS)
            yield Pair(here, there, bus)
            assert here.complaints == there.complaints == []


@pytest.mark.slow
@on_a_quick_loop
async def test_what_is_published_is_lost_and_mixed_up(redis_url: str) -> None:
    with LossyBus.before(redis_url) as proxy:
        bus, heard = RedisBus(proxy.url, Metrics()), list[int]()
        await bus.start()
        try:
            await bus.subscribe(("numbers",), lambda _, payload: heard.append(int(payload)))
            before = proxy.lost
            for number in range(PUBLISHES):
                bus.publish("numbers", b"%d" % number)
                await asyncio.sleep(0)
            await until(lambda: len(heard) + proxy.lost - before == PUBLISHES, "all that came came")
            assert 0 < proxy.lost < PUBLISHES / 10 < proxy.late * 2
            assert heard != sorted(heard)
            assert bus.is_connected
        finally:
            await bus.stop()


@pytest.mark.slow
def test_everybody_is_sent_everything_in_order(pair: Pair) -> None:
    async def main() -> None:
        async with Town(pair.here) as here, Town(pair.there) as there:
            everyone = await here.settle_all(*["member"] * 4)
            writers = [await here.connect(who) for who in everyone[:2]]
            readers = [await there.connect(who) for who in everyone[2:]]
            place = await club(*writers, *readers)
            before = (await history(writers[0], place)).head_seq
            room = asyncio.Semaphore(UNDER_WAY)

            async def say(client: ChatClient, number: int) -> int:
                async with room:
                    return (await post(client, place, f"{number}")).seq

            lost = pair.bus.lost
            acked = [
                await asyncio.gather(*(say(client, number) for number in range(POSTS)))
                for client in writers
            ]
            every = range(before + 1, before + 2 * POSTS + 1)
            for client, own in [*zip(writers, acked, strict=True), *((one, []) for one in readers)]:
                due = [seq for seq in every if seq not in own]
                heard = await take_all(client, len(due))
                assert seqs(heard, place.id) == due
            assert pair.bus.lost > lost, "the bus is bad"
            assert pair.there.metric("chatd_gaps_filled_total") > 0
            for node in (pair.here, pair.there):
                assert node.metric("chatd_holes_total") == 0

    run(main(), seconds=SECONDS)


async def take_all(client: ChatClient, number: int) -> list[GroupChat]:
    return [await client.next_push(GroupChat, timeout=FOUND_SECONDS) for _ in range(number)]


@pytest.mark.slow
def test_what_nothing_follows_is_found_by_comparing(pair: Pair) -> None:
    async def main() -> None:
        async with Town(pair.here) as here, Town(pair.there) as there:
            ann, ben = await here.settle_all("ann", "ben")
            writer, reader = await here.connect(ann), await there.connect(ben)
            place = await club(writer, reader)
            first = await post(writer, place, "all is well")
            await reader.next_push(names(first.id), timeout=FOUND_SECONDS)
            pair.bus.loses_all = True
            try:
                said = await post(writer, place, "nobody tells")
                await reader.next_push(names(said.id), timeout=FOUND_SECONDS)
            finally:
                pair.bus.loses_all = False
            said = await post(writer, place, "heard again")
            await reader.next_push(names(said.id), timeout=FOUND_SECONDS)

    run(main(), seconds=SECONDS)
