"""Who is told of whom, through connects and disconnects on both sockets."""

import time

import pytest

from protocol import requests
from protocol.errors import ErrorCode
from protocol.limits import PRESENCE_USERS
from protocol.model import PresenceStatus
from protocol.pushes import GroupCreated, Pong, PresenceUpdate, Success
from testclients.client import ChatClient
from testclients.errors import RequestFailed
from tests.e2e.town import Resident, Town, everything
from tests.support.loop import run, until
from tests.support.node import Node

ONLINE = PresenceStatus.ONLINE
OFFLINE = PresenceStatus.OFFLINE
UNKNOWN = PresenceStatus.UNKNOWN


async def settle_friends(town: Town, *names: str) -> list[Resident]:
    """Users each two of whom have written to each other; none of them is online."""
    everyone = await town.settle_all(*names)
    clients = [await town.connect(who) for who in everyone]
    for one in clients:
        for other in clients:
            if one is not other:
                await one.send_direct(other.user, "hi")
    # Until their ends are known they would be news to the test.
    for client in clients:
        await client.close()
    await until(lambda: town.node.metric("chatd_connections") == 0, "the ends are known")
    return everyone


async def news(client: ChatClient, of: Resident | ChatClient) -> PresenceUpdate:
    """The next that the connection is told of a user."""
    name = of.name if isinstance(of, Resident) else of.user
    frame = await client.next_push(
        lambda frame: isinstance(frame, PresenceUpdate) and frame.username == name
    )
    assert isinstance(frame, PresenceUpdate)
    return frame


async def nothing_new(client: ChatClient) -> bool:
    await client.ping()
    return not [frame for frame in client.take_all() if isinstance(frame, PresenceUpdate)]


@pytest.mark.parametrize("watches_here", [False, True], ids=["chat", "presence"])
@pytest.mark.parametrize("comes_here", [False, True], ids=["chat", "presence"])
def test_friends_are_told_without_asking(watches_here: bool, comes_here: bool, node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await settle_friends(town, "ann", "ben")
            watcher = await town.connect(ann, presence=watches_here)
            visitor = await town.connect(ben, presence=comes_here)
            update = await news(watcher, ben)
            assert (update.status, update.last_seen) == (ONLINE, None)
            assert (await news(visitor, ann)).status is ONLINE, "of those who are here already"
            before = time.time_ns() // 1_000_000
            await visitor.close()
            update = await news(watcher, ben)
            assert update.status is OFFLINE
            assert update.last_seen is not None
            assert before <= update.last_seen <= time.time_ns() // 1_000_000

    run(main())


def test_only_the_last_connection_of_a_user_ends_its_presence(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await settle_friends(town, "ann", "ben")
            watcher = await town.connect(ann)
            connections = [
                await town.connect(ben),
                await town.connect(ben, presence=True),
                await town.connect(ben),
            ]
            assert (await news(watcher, ben)).status is ONLINE
            for connection in connections[:2]:
                await connection.close()
                await connections[2].ping()
                assert await nothing_new(watcher)
            await connections[2].abort()
            assert (await news(watcher, ben)).status is OFFLINE

    run(main())


def test_a_broken_connection_ends_presence_too_and_it_can_come_back(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await settle_friends(town, "ann", "ben")
            watcher = await town.connect(ann)
            for _ in range(3):
                visitor = await town.connect(ben)
                assert (await news(watcher, ben)).status is ONLINE
                await visitor.abort()
                assert (await news(watcher, ben)).status is OFFLINE

    run(main())


def test_who_becomes_a_friend_is_told_of_from_then_on(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            await ann.send_direct(ben.user, "hi")
            assert await nothing_new(ann) and await nothing_new(ben), "one has written: no friends"
            await ben.send_direct(ann.user, "hello")
            assert (await news(ann, ben)).status is ONLINE
            assert (await news(ben, ann)).status is ONLINE
            await ben.close()
            assert (await news(ann, ben)).status is OFFLINE

    run(main())


def test_strangers_are_unknown_and_stay_so(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.online("ann", "ben")
            away = await town.settle("away")
            assert isinstance(
                await ann.subscribe_presence([ben.user, away.name, "nobody.here"]), Success
            )
            for name in (ben.user, away.name, "nobody.here"):
                update = await ann.next_push(PresenceUpdate)
                assert (update.username, update.status, update.last_seen) == (name, UNKNOWN, None)
            await ben.close()
            await (await town.connect(away)).ping()
            assert await nothing_new(ann)

    run(main())


@pytest.mark.parametrize("presence", [False, True], ids=["chat", "presence"])
def test_group_mates_are_told_of_when_asked_for(presence: bool, node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.settle_all("ann", "ben", "cat")
            founder = await town.connect(ann)
            made = await founder.create_group("club", [ben.name, cat.name], open=True)
            assert made.group_id is not None
            watcher = await town.connect(ann, presence=presence)
            visitor = await town.connect(ben)
            await visitor.next_push(GroupCreated)
            assert await nothing_new(watcher), "they are no friends"
            await watcher.subscribe_presence([cat.name, ben.name, ann.name, ben.name])
            updates = [await watcher.next_push(PresenceUpdate) for _ in range(3)]
            assert [(update.username, update.status) for update in updates] == [
                (cat.name, OFFLINE),
                (ben.name, ONLINE),
                (ann.name, ONLINE),
            ]
            assert updates[0].last_seen is None, "never seen"
            await visitor.close()
            update = await news(watcher, ben)
            assert (update.status, update.last_seen is None) == (OFFLINE, False)
            again = await town.connect(ben)
            assert (await news(watcher, ben)).status is ONLINE
            assert await nothing_new(again), "who is watched is not told"

    run(main())


def test_last_seen_outlives_a_restart(node: Node) -> None:
    async def meet() -> tuple[Resident, Resident, int]:
        async with Town(node) as town:
            ann, ben = await settle_friends(town, "ann", "ben")
            watcher, visitor = await town.connect(ann), await town.connect(ben)
            assert (await news(watcher, ben)).status is ONLINE
            await visitor.close()
            seen = (await news(watcher, ben)).last_seen
            assert seen is not None
            return ann, ben, seen

    async def ask(ann: Resident, ben: Resident) -> int | None:
        async with Town(node) as town:
            watcher = await town.connect(ann)
            await watcher.subscribe_presence([ben.name])
            update = await news(watcher, ben)
            assert update.status is OFFLINE
            assert (await watcher.history_direct(ben.name)).last_seen == update.last_seen
            return update.last_seen

    ann, ben, seen = run(meet())
    assert node.stop() == 0
    node.start()
    assert run(ask(ann, ben)) == seen


def test_at_the_limits(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            (ann,) = await town.online("ann")
            names = [f"somebody{number}" for number in range(PRESENCE_USERS + 1)]
            with pytest.raises(RequestFailed, match="`users`") as refused:
                await ann.subscribe_presence(names)
            assert refused.value.code is ErrorCode.TOO_LARGE
            assert await nothing_new(ann)
            await ann.subscribe_presence(names[1:])
            updates = [await ann.next_push(PresenceUpdate) for _ in range(PRESENCE_USERS)]
            assert {update.status for update in updates} == {UNKNOWN}

    run(main())


def test_the_presence_socket_understands_what_belongs_there(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            client = await town.connect(ann, presence=True)
            assert client.info.user == ann.name
            assert isinstance(await client.ping(), Pong)
            for request in (
                requests.OneToOneChat(to=ben.name, content="wrong door"),
                requests.InitData(),
                requests.CreateGroup(name="club"),
            ):
                with pytest.raises(RequestFailed) as refused:
                    await client.request(request)
                assert refused.value.code is ErrorCode.UNKNOWN_TYPE
            writer = await town.connect(ben)
            await writer.send_direct(ann.name, "not for the presence socket")
            assert await everything(client) == []
            assert await client.disconnect() == 1000

    run(main())
