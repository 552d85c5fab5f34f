"""What ends on one node ends on the others within a second or two, also while they hear nothing of
each other."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import pytest

from protocol import requests
from protocol.close import CloseCode
from protocol.errors import ErrorCode
from protocol.model import PresenceStatus
from protocol.pushes import (
    GroupChat,
    GroupMemberJoined,
    GroupMemberLeft,
    MessageDeleted,
    OneToOneChat,
    PresenceUpdate,
    Resync,
)
from testclients.client import ChatClient
from testclients.errors import CannotConnect
from tests.e2e import frames
from tests.e2e.frames import Place, chat, club, history, names, numbers, post, refusal, resume
from tests.e2e.rest import add, block, done, remove
from tests.e2e.test_devices import device_id, log_in
from tests.e2e.town import PASSWORD, Resident, Town, contents, everything
from tests.support.backends import Backends
from tests.support.loop import run
from tests.support.node import Node
from tests.support.nodes_together import nodes_together
from tests.support.proxy import Proxy

pytestmark = pytest.mark.slow
SECONDS: Final = 60.0
SOON: Final = 15.0
"""A second or two, on a machine that is busy; far less than what is compared every ten."""
FOUND_SECONDS: Final = 40.0


class Pair(NamedTuple):
    here: Node
    there: Node
    """Redis is lost to it."""
    proxy: Proxy


@pytest.fixture(scope="module")
def pair(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with Proxy.before(backends.settings["redis_url"]) as proxy:
        settings = [{}, {"redis_url": proxy.url}]
        folder = tmp_path_factory.mktemp("pair")
        with nodes_together(folder, backends, settings) as (here, there):
            yield Pair(here, there, proxy)
            assert here.complaints == there.complaints == []


@asynccontextmanager
async def without_bus(pair: Pair, way: str) -> AsyncIterator[None]:
    if way != "well":
        getattr(pair.proxy, way)()
    try:
        yield
    finally:
        pair.proxy.heal()


@asynccontextmanager
async def towns(pair: Pair) -> AsyncIterator[tuple[Town, Town]]:
    async with Town(pair.here) as here, Town(pair.there) as there:
        yield here, there


async def is_closed(client: ChatClient) -> None:
    async with asyncio.timeout(SOON):
        assert await client.closed == CloseCode.TOKEN_REVOKED


async def log_out(town: Town, ann: Resident, _: Resident) -> None:
    await done(town, "POST", "/api/auth/logout", ann)


async def log_out_everywhere(town: Town, _: Resident, other: Resident) -> None:
    await done(town, "POST", "/api/auth/logout", other, {"all": True})


async def log_out_device(town: Town, ann: Resident, other: Resident) -> None:
    device = await device_id(town, ann)
    await done(town, "DELETE", f"/api/devices/{device}", other)


async def change_password(town: Town, _: Resident, other: Resident) -> None:
    body = {"currentPassword": PASSWORD, "newPassword": "battery staple correct"}
    await done(town, "POST", "/api/users/me/password", other, body)


ENDS: Final = {
    one.__name__: one for one in (log_out, log_out_everywhere, log_out_device, change_password)
}


@pytest.mark.parametrize("way", ["well", "stall", "cut"])
def test_a_device_whose_tokens_end_is_closed_on_every_node(way: str, pair: Pair) -> None:
    async def main() -> None:
        async with towns(pair) as (here, there):
            everyone = await here.settle_all(*ENDS)
            others = [await log_in(here, who) for who in everyone]
            watchers = [await there.connect(who, presence=True) for who in everyone]
            clients = [await there.connect(who) for who in everyone]
            staying = await there.connect(*await here.settle_all("bystander"))
            async with without_bus(pair, way):
                for end, who, other in zip(ENDS.values(), everyone, others, strict=True):
                    await end(here, who, other)
                await asyncio.gather(*map(is_closed, [*clients, *watchers]))
                for who in everyone:
                    with pytest.raises(CannotConnect) as cannot:
                        await there.connect(who)
                    assert cannot.value.http_status == 401
                await staying.ping()

    run(main(), seconds=SECONDS)


@pytest.mark.parametrize("way", ["well", "stall"])
def test_who_is_blocked_is_so_on_every_node(way: str, pair: Pair) -> None:
    async def main() -> None:
        async with towns(pair) as (here, there):
            ann, ben = await here.settle_all("ann", "ben")
            one, other = await here.connect(ann), await there.connect(ben)
            place = chat(ann, ben)
            await post(one, place, "hi")
            await other.next_push(OneToOneChat)
            await post(other, place, "hello")
            await is_seen(other, ann, PresenceStatus.ONLINE)
            async with without_bus(pair, way):
                await block(here, ann, ben)
                asked = requests.OneToOneChat(to=ann.name, content="listen!")
                assert await refusal(other, asked) is ErrorCode.BLOCKED
                await is_seen(other, ann, PresenceStatus.UNKNOWN)

    run(main(), seconds=SECONDS)


async def is_seen(client: ChatClient, of: Resident, status: PresenceStatus) -> None:
    """Until a client is told that a user has this status."""
    await client.next_push(
        lambda frame: (
            isinstance(frame, PresenceUpdate)
            and (frame.username, frame.status) == (of.name, status)
        ),
        timeout=SOON,
    )


@pytest.mark.parametrize("way", ["well", "stall"])
def test_who_comes_and_goes_by_another_hears_it_where_it_is(way: str, pair: Pair) -> None:
    async def main() -> None:
        async with towns(pair) as (here, there):
            ann, ben = await here.settle_all("ann", "ben")
            admin, guest = await here.connect(ann), await there.connect(ben)
            made = await admin.create_group("club")
            place = Place(group_id=made.group_id)
            async with without_bus(pair, way):
                await add(here, ann, place, ben)
                joined = await guest.next_push(GroupMemberJoined, timeout=SOON)
                assert (joined.username, joined.by) == (ben.name, ann.name)
                await post(guest, place, "thanks")
                await remove(here, ann, place, ben)
                left = await guest.next_push(GroupMemberLeft, timeout=SOON)
                assert left.username == ben.name
                await post(admin, place, "he is gone")
                asked = requests.GroupChat(group_id=place.id, content="listen!")
                assert await refusal(guest, asked) is ErrorCode.NOT_A_MEMBER
                # The first message of a conversation is told as soon; nothing else came before it.
                await post(admin, chat(ann, ben), "you hear this")
                await guest.next_push(OneToOneChat, timeout=SOON)
                assert [
                    frame for frame in await everything(guest) if isinstance(frame, GroupChat)
                ] == []

    run(main(), seconds=SECONDS)


@pytest.mark.parametrize("way", ["well", "stall"])
def test_a_deleted_message_is_gone_from_every_node(way: str, pair: Pair) -> None:
    async def main() -> None:
        async with towns(pair) as (here, there):
            ann, ben = await here.settle_all("ann", "ben")
            writer, reader = await here.connect(ann), await there.connect(ben)
            place = await club(writer, reader)
            said = await post(writer, place, "a secret")
            await reader.next_push(names(said.id))
            # What it said is in the memory of the other node now.
            late = await there.connect(ben, resumes=True)
            came, _ = await resume(late, {place.id: 0})
            assert contents(came) == ["a secret"]
            async with without_bus(pair, way):
                await frames.delete(writer, place, said.id)
                assert (await reader.next_push(MessageDeleted, timeout=SOON)).id == said.id
                late = await there.connect(ben, resumes=True)
                came, _ = await resume(late, {place.id: 0})
                assert contents(came) == [""]
                (shown,) = (await history(late, place)).messages
                assert (shown.deleted, shown.content) == (True, "")

    run(main(), seconds=SECONDS)


def test_who_resumes_where_it_came_in_elsewhere_is_not_told_to_begin_anew(pair: Pair) -> None:
    async def main() -> None:
        async with towns(pair) as (here, there):
            ann, ben = await here.settle_all("ann", "ben")
            founder, phone = await here.connect_all(ann, ben)
            made = await founder.create_group("open", open=True)
            assert made.group_id is not None
            place = Place(group_id=made.group_id)
            await phone.join_group(made.group_id)
            await post(founder, place, "welcome")
            left = await phone.leave_group(made.group_id)
            laptop = await there.connect(ben, resumes=True)
            async with without_bus(pair, "stall"):
                joined = await phone.join_group(made.group_id)
                assert left.seq is not None and joined.seq is not None
                came, _ = await resume(laptop, {place.id: left.seq})
                assert not [frame for frame in came if isinstance(frame, Resync)]
                said = await post(founder, place, "welcome back")
                if joined.seq not in numbers(came, place):
                    frame = await laptop.next_push(GroupMemberJoined, timeout=SOON)
                    assert frame.seq == joined.seq
            # What follows may be found by comparing alone.
            await laptop.next_push(names(said.id), timeout=FOUND_SECONDS)

    run(main(), seconds=SECONDS)
