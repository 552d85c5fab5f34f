"""Presence on two nodes, when Redis goes, comes back or forgets, and when a node dies."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from chatd.clock import HandClock
from chatd.delivery.hub import Hub
from chatd.fabric.bus_redis import RedisBus
from chatd.fabric.client_redis import RedisClient
from chatd.fabric.presence_leases_redis import RedisPresenceLeases
from chatd.metrics import Metrics
from chatd.services.presence import LEASE_SECONDS, LOOK_SECONDS, SETTLE_SECONDS, Presence
from protocol.model import PresenceStatus
from tests.support.builders import NOW_MS, Reader, Stores, add_users, sqlite_stores
from tests.support.proxy import Proxy
from tests.support.running import on_a_loop, turns, until

USERS = ("alice", "bob", "carol")
ONLINE, OFFLINE, UNKNOWN = "ONLINE", "OFFLINE", "UNKNOWN"


class Node:
    """The presence service of a node, and who is connected to it."""

    def __init__(
        self, url: str, stores: Stores, clock: HandClock, *, bus_url: str | None = None
    ) -> None:
        self.client = RedisClient(url)
        self.bus = RedisBus(bus_url or url, Metrics())
        self.leases = RedisPresenceLeases(self.client, clock)
        self.presence = Presence(
            self.leases, stores.users, stores.conversations, Hub(), self.bus, clock
        )
        self.bus.reconnected = self.presence.refresh

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Node"]:
        async with AsyncExitStack() as stack:
            await self.client.start()
            stack.push_async_callback(self.client.close)
            await self.bus.start()
            stack.push_async_callback(self.bus.stop)
            await self.presence.start()
            stack.push_async_callback(self.presence.stop)
            yield self

    async def arrive(self, username: str) -> Reader:
        reader = Reader(username)
        await self.presence.connected(reader.outbox, f"connection of {username}")
        return reader

    async def leave(self, reader: Reader) -> None:
        username = reader.outbox.principal.username
        await self.presence.disconnected(reader.outbox, f"connection of {username}")

    async def status(self, username: str) -> PresenceStatus:
        return (await self.presence.look([username]))[username].status

    async def sees(self, *usernames: str) -> None:
        """Until the leases say that these, and nobody else, are online."""
        while await self.leases.online(USERS) != set(usernames):
            await turns()

    @property
    def is_connected(self) -> bool:
        return self.client.is_connected and self.bus.is_connected


class Cluster:
    """Two nodes, all of whose users are friends."""

    def __init__(self, proxy: Proxy, clock: HandClock, stores: Stores) -> None:
        self.proxy = proxy
        self.clock = clock
        self.stores = stores
        self.here = Node(proxy.url, stores, clock)
        self.there = Node(proxy.url, stores, clock)
        self.nodes = (self.here, self.there)

    async def lose(self) -> None:
        self.proxy.cut()
        await until(lambda: not any(node.client.is_connected for node in self.nodes))

    async def find(self) -> None:
        self.proxy.heal()
        await until(lambda: all(node.is_connected for node in self.nodes))

    async def settle(self) -> None:
        """The leases are settled again, and swept by both."""
        self.clock.advance(SETTLE_SECONDS)
        for node in self.nodes:
            await node.presence.sweep()


@asynccontextmanager
async def cluster(folder: Path, proxy: Proxy) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(sqlite_stores(folder))
        await add_users(stores.users, *USERS)
        for one, other in (("alice", "bob"), ("bob", "carol"), ("alice", "carol")):
            await stores.users.befriend(one, other, 0)
        made = Cluster(proxy, HandClock(NOW_MS), stores)
        for node in made.nodes:
            await stack.enter_async_context(node.running())
        await made.here.client.call("FLUSHDB")
        for node in made.nodes:
            await node.presence.sweep()
        yield made


def told(reader: Reader, of: str) -> list[str]:
    """What the connection was told of a user."""
    return [
        frame["status"] for frame in reader.of_type("PRESENCE_UPDATE") if frame["username"] == of
    ]


async def is_told(reader: Reader, of: str, *statuses: str) -> None:
    await until(lambda: told(reader, of) == list(statuses))


@on_a_loop
async def test_while_redis_is_gone_friends_are_unknown(tmp_path: Path, redis_proxy: Proxy) -> None:
    async with cluster(tmp_path, redis_proxy) as both:
        alice = await both.here.arrive("alice")
        await both.lose()
        bob = await both.there.arrive("bob")
        assert told(bob, "alice") == told(bob, "carol") == [UNKNOWN]
        assert await both.there.status("alice") is PresenceStatus.UNKNOWN
        await both.there.presence.renew(bob.outbox, "connection of bob")
        await both.there.presence.sweep()
        await both.there.leave(bob)
        assert told(alice, "bob") == []


@on_a_loop
async def test_when_it_is_back_everybody_is_told(tmp_path: Path, redis_proxy: Proxy) -> None:
    async with cluster(tmp_path, redis_proxy) as both:
        alice = await both.here.arrive("alice")
        await both.lose()
        bob = await both.there.arrive("bob")
        await both.find()
        await is_told(alice, "bob", ONLINE)
        await is_told(bob, "alice", UNKNOWN, ONLINE)
        assert told(bob, "carol") == [UNKNOWN]
        await both.settle()
        await is_told(bob, "carol", UNKNOWN, OFFLINE)
        assert (told(alice, "bob"), told(bob, "alice")) == ([ONLINE], [UNKNOWN, ONLINE])


@on_a_loop
async def test_who_left_while_it_was_gone_is_offline_in_the_end(
    tmp_path: Path, redis_proxy: Proxy
) -> None:
    async with cluster(tmp_path, redis_proxy) as both:
        alice = await both.here.arrive("alice")
        bob = await both.there.arrive("bob")
        await is_told(alice, "bob", ONLINE)
        await both.lose()
        await both.there.leave(bob)
        left_at = both.clock.now_ms()
        both.clock.advance(5)
        await both.find()
        await both.here.client.call("FLUSHDB")
        # The first time it is found that everything was forgotten.
        for _ in range(2):
            await both.settle()
        await is_told(alice, "bob", ONLINE, OFFLINE)
        seen = (await both.there.presence.look(["bob"]))["bob"]
        assert seen.last_seen == left_at


@on_a_loop
async def test_an_outage_longer_than_the_leases_tells_nobody_anything(
    tmp_path: Path, redis_proxy: Proxy
) -> None:
    async with cluster(tmp_path, redis_proxy) as both:
        alice = await both.here.arrive("alice")
        bob = await both.there.arrive("bob")
        await is_told(alice, "bob", ONLINE)
        await both.lose()
        both.clock.advance(2 * LEASE_SECONDS)
        await both.find()
        # The first sweep after it must not find those who were not renewed yet.
        for node in both.nodes:
            await node.presence.sweep()
        await both.here.sees("alice", "bob")
        await both.settle()
        await both.there.sees("alice", "bob")
        assert (told(alice, "bob"), told(bob, "alice")) == ([ONLINE], [ONLINE])


@on_a_loop
async def test_after_a_flush_everybody_is_online_again_and_nobody_is_told(
    tmp_path: Path, redis_proxy: Proxy
) -> None:
    async with cluster(tmp_path, redis_proxy) as both:
        alice = await both.here.arrive("alice")
        bob = await both.there.arrive("bob")
        await is_told(alice, "bob", ONLINE)
        await both.here.client.call("FLUSHDB")
        await both.here.sees()
        for node in both.nodes:
            await node.presence.sweep()
        await both.here.sees("alice", "bob")
        await both.settle()
        carol = await both.here.arrive("carol")
        await is_told(alice, "carol", ONLINE)
        await is_told(bob, "carol", ONLINE)
        assert told(carol, "alice") == told(carol, "bob") == [ONLINE]
        assert (told(alice, "bob"), told(bob, "alice")) == ([ONLINE], [ONLINE])


@on_a_loop
async def test_the_leases_of_a_node_that_died_end_and_are_told_once(
    tmp_path: Path, redis_proxy: Proxy
) -> None:
    async with cluster(tmp_path, redis_proxy) as both:
        alice = await both.here.arrive("alice")
        await both.there.arrive("bob")
        await is_told(alice, "bob", ONLINE)
        # Nobody renews for it any more.
        both.clock.advance(LEASE_SECONDS - 5)
        await both.here.presence.renew(alice.outbox, "connection of alice")
        await both.here.presence.sweep()
        assert told(alice, "bob") == [ONLINE]
        both.clock.advance(5)
        for _ in range(2):
            await both.here.presence.sweep()
        await is_told(alice, "bob", ONLINE, OFFLINE)


@on_a_loop
async def test_a_node_that_alone_lost_redis_is_taken_for_dead_until_it_is_back(
    tmp_path: Path, redis_proxy: Proxy, redis_url: str
) -> None:
    async with (
        cluster(tmp_path, redis_proxy) as both,
        Node(redis_url, both.stores, both.clock).running() as third,
    ):
        carol = await third.arrive("carol")
        await both.there.arrive("bob")
        await is_told(carol, "bob", ONLINE)
        await both.lose()
        both.clock.advance(LEASE_SECONDS)
        await third.presence.renew(carol.outbox, "connection of carol")
        await third.presence.sweep()
        await is_told(carol, "bob", ONLINE, OFFLINE)
        await both.find()
        await is_told(carol, "bob", ONLINE, OFFLINE, ONLINE)


@on_a_loop
async def test_changes_wait_while_only_the_bus_is_gone(
    tmp_path: Path, redis_proxy: Proxy, redis_url: str
) -> None:
    async with cluster(tmp_path, redis_proxy) as both:
        alice = await both.here.arrive("alice")
        with Proxy.before(redis_url) as bus_proxy:
            third = Node(redis_url, both.stores, both.clock, bus_url=bus_proxy.url)
            async with third.running():
                bob = await third.arrive("bob")
                await is_told(alice, "bob", ONLINE)
                bus_proxy.cut()
                await until(lambda: not third.bus.is_connected)
                await third.leave(bob)
                await third.arrive("carol")
                bus_proxy.heal()
                await is_told(alice, "bob", ONLINE, OFFLINE)
                await is_told(alice, "carol", ONLINE)


@on_a_loop
async def test_what_was_never_heard_is_found_by_looking(tmp_path: Path, redis_proxy: Proxy) -> None:
    async with cluster(tmp_path, redis_proxy) as both:
        alice = await both.here.arrive("alice")
        await both.there.leases.renew("bob", "b1", 10 * LOOK_SECONDS)
        await both.here.presence.sweep()
        assert told(alice, "bob") == []
        both.clock.advance(LOOK_SECONDS)
        await both.here.presence.sweep()
        assert told(alice, "bob") == [ONLINE]
        await both.there.leases.release("bob", "b1")
        await both.here.presence.sweep()
        assert told(alice, "bob") == [ONLINE]
        both.clock.advance(LOOK_SECONDS)
        await both.here.presence.sweep()
        assert told(alice, "bob") == [ONLINE, OFFLINE]


@pytest.mark.slow
@on_a_loop
async def test_a_stall_lets_connections_open_and_live(tmp_path: Path, redis_proxy: Proxy) -> None:
    async with cluster(tmp_path, redis_proxy) as both:
        alice = await both.here.arrive("alice")
        redis_proxy.stall()
        bob = await both.there.arrive("bob")
        assert told(bob, "alice") == [UNKNOWN]
        await both.here.presence.renew(alice.outbox, "connection of alice")
        await both.here.leave(alice)
        await both.find()
        await is_told(bob, "alice", UNKNOWN, ONLINE)
        both.clock.advance(LEASE_SECONDS)
        await both.there.presence.renew(bob.outbox, "connection of bob")
        await both.there.presence.sweep()
        await is_told(bob, "alice", UNKNOWN, ONLINE, OFFLINE)
