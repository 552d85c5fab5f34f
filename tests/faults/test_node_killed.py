"""A node killed with -9: another puts what it had not put, and its users are found to be gone."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple, cast
from urllib.parse import urlsplit

import pytest
from redis import Redis

from chatd.services.presence import LEASE_SECONDS
from chatd.stores import history_alone
from chatd.stores.ledger_postgres import PostgresLedger
from chatd.stores.message_store import MessageStore
from chatd.stores.pool_postgres import Postgres
from protocol.model import PresenceStatus
from protocol.pushes import PresenceUpdate
from testclients.client import ChatClient
from tests.e2e import frames
from tests.e2e.frames import Place, chat, club, names, numbers, post, resume
from tests.e2e.town import Resident, Town
from tests.support.backends import Backends
from tests.support.loop import run, until
from tests.support.node import Node
from tests.support.nodes_together import nodes_together
from tests.support.proxy import Proxy
from tests.support.stored import message_store, undone, until_so

pytestmark = pytest.mark.slow
SECONDS: Final = 180.0
TAKEN_OVER_SECONDS: Final = 45.0
"""A process is silent for ten, and looked for every five; after sixty it is over."""
TOLD_SECONDS: Final = 30.0
"""Leases are swept every five."""
POSTS: Final = 30
PAGE: Final = 200
_OF: Final = "chatd:presence:of:"
_ENDS: Final = "chatd:presence:ends"
_DROP: Final = "SELECT drop_partitions(-1)"
"""Today's too."""


class Pair(NamedTuple):
    doomed: Node
    other: Node
    proxy: Proxy
    """Between the doomed node and Cassandra."""
    backends: Backends

    @property
    def redis(self) -> "Redis":
        return Redis.from_url(self.backends.settings["redis_url"], decode_responses=True)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        # Its own: nobody else may have left anything in it.
        backends = stack.enter_context(Backends())
        host, _, port = backends.settings["cassandra_hosts"].rpartition(":")
        proxy = stack.enter_context(Proxy(host, int(port)))
        settings = [{"cassandra_hosts": f"127.0.0.1:{proxy.port}"}, {}]
        doomed, other = stack.enter_context(nodes_together(tmp_path, backends, settings))
        yield Pair(doomed, other, proxy, backends)
        assert other.complaints == []


async def say_much(writer: ChatClient, reader: ChatClient, place: Place) -> int:
    """Posts, and what becomes of them; the head."""
    posted = [await post(writer, place, f"{number}") for number in range(POSTS)]
    await frames.edit(writer, place, posted[0].id, "edited")
    await frames.edit(writer, place, posted[0].id, "edited again")
    await frames.react(writer, place, posted[1].id, "👍")
    await frames.react(writer, place, posted[2].id, "👍")
    await frames.react(writer, place, posted[2].id, "👍", remove=True)
    await frames.delete(writer, place, posted[3].id)
    last = await post(writer, place, "the last")
    await reader.next_push(names(last.id), timeout=TOLD_SECONDS)
    return last.seq


def test_what_a_killed_node_leaves_is_taken_over(pair: Pair) -> None:
    async def main() -> None:
        async with Town(pair.doomed) as here, Town(pair.other) as there:
            ann, ben = await here.settle_all("ann", "ben")
            writer, reader = await here.connect(ann), await there.connect(ben)
            await here.connect(ann, presence=True)
            details: dict[str, Any] = json.loads(pair.doomed.get("/readyz")[1])
            direct = chat(ann, ben)
            for client, other in ((reader, writer), (writer, reader)):
                said = await post(client, direct, "before")
                await other.next_push(names(said.id), timeout=TOLD_SECONDS)
            await is_told(reader, ann, PresenceStatus.ONLINE)
            group = await club(writer, reader)
            pair.proxy.stall()
            heads = {place: await say_much(writer, reader, place) for place in (direct, group)}
            async with message_store(pair.backends) as store:
                for place, head in heads.items():
                    stored = await store.read(place.id, after=0, before=head + 1, limit=PAGE)
                    assert len(stored) <= 2, "the node puts nothing"
                with pair.redis as redis:
                    await its_users_are_offline(pair, redis, reader, ann, direct)
                assert await dropped(pair) == []
                ledger = await Postgres.connect(pair.backends.database_url)
                try:
                    for place, head in heads.items():
                        await is_complete(store, PostgresLedger(ledger, "test"), place.id, head)
                finally:
                    await ledger.close()
            # All is there; but for all that is known, something it asked for is still under way.
            assert await dropped(pair) == []
            await pair.backends.run(
                "UPDATE writer SET seen_at = now() - interval '61 seconds'"
                f" WHERE writer = '{details['node']}'"
            )

            async def may_be_dropped() -> bool:
                return await dropped(pair) != []

            await until_so(may_be_dropped, "what is stored may go", seconds=TAKEN_OVER_SECONDS)
            back = await there.connect(ann, resumes=True)
            came, errors = await resume(back, {place.id: 0 for place in heads})
            assert errors == {}
            for place, head in heads.items():
                assert numbers(came, place) == list(range(1, head + 1))
            await is_told(reader, ann, PresenceStatus.ONLINE)
            said = await post(reader, direct, "welcome back")
            await back.next_push(names(said.id), timeout=TOLD_SECONDS)

    run(main(), seconds=SECONDS)


async def its_users_are_offline(
    pair: Pair, redis: "Redis", reader: ChatClient, ann: Resident, place: Place
) -> None:
    """Kill the node: its topics are given up, and when its leases end its users are offline."""
    assert listeners(pair, redis, f"u:{ann.name}") == 1
    assert listeners(pair, redis, f"c:{place.id}") == 2
    assert len(cast(list[str], redis.zrange(_OF + ann.name, 0, -1))) == 2, "of both sockets"
    pair.doomed.kill()
    killed_at = time.time_ns() // 1_000_000
    await until(lambda: listeners(pair, redis, f"u:{ann.name}") == 0, "its users are given up")
    await until(lambda: listeners(pair, redis, f"c:{place.id}") == 1, "its rooms are given up")
    ends = cast(float, redis.zscore(_ENDS, ann.name))
    assert killed_at < ends <= killed_at + LEASE_SECONDS * 1000
    data = await reader.init_data()
    assert data.chats[0].is_online, "as far as anybody knows"
    age(redis, ann, ends - killed_at)
    gone = await is_told(reader, ann, PresenceStatus.OFFLINE)
    assert gone.last_seen is not None and gone.last_seen >= killed_at
    assert redis.exists(_OF + ann.name) == 0
    assert redis.zscore(_ENDS, ann.name) is None
    assert not (await reader.init_data()).chats[0].is_online


async def dropped(pair: Pair) -> list[str]:
    """The partitions that would be dropped, if they were old."""
    return [row[0] for row in await undone(pair.backends.database_url, _DROP)]


async def is_complete(
    store: MessageStore, ledger: PostgresLedger, conversation_id: str, head: int
) -> None:
    """Until the message store alone answers as the ledger does."""
    events = await ledger.read(conversation_id, after=0, before=head + 1, limit=PAGE)
    page = await ledger.page(conversation_id, after=0, before=None, limit=PAGE, newest=False)
    assert len(events) == head

    async def has_all() -> bool:
        return events == await store.read(conversation_id, after=0, before=head + 1, limit=PAGE)

    await until_so(has_all, "another puts what it left", seconds=TAKEN_OVER_SECONDS)
    assert page == await history_alone.page(
        store, conversation_id, after=0, before=head + 1, limit=PAGE, newest=False
    )


async def is_told(client: ChatClient, of: Resident, status: PresenceStatus) -> PresenceUpdate:
    """The next that a client is told of a user, which is this."""
    frame = await client.next_push(
        lambda frame: isinstance(frame, PresenceUpdate) and frame.username == of.name,
        timeout=TOLD_SECONDS,
    )
    assert isinstance(frame, PresenceUpdate) and frame.status is status
    return frame


def listeners(pair: Pair, redis: "Redis", topic: str) -> int:
    """How many nodes hear a topic of the bus."""
    database = urlsplit(pair.backends.settings["redis_url"]).path.removeprefix("/")
    found: Any = redis.pubsub_numsub(f"chatd:bus:{database}:{topic}")
    return int(found[0][1])


def age(redis: "Redis", who: Resident, ms: float) -> None:
    """As if so much time had passed for the leases of a user."""
    holders: Any = redis.zrange(_OF + who.name, 0, -1)
    for holder in holders:
        redis.zincrby(_OF + who.name, -ms, holder)
    redis.zincrby(_ENDS, -ms, who.name)
