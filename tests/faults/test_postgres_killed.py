"""PostgreSQL killed with -9 in mid-load and started again: what was acked is there once, what was
not is repeated; meanwhile whoever is connected reads, and afterwards all goes on by itself."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import pytest

from protocol import requests
from protocol.errors import ErrorCode
from protocol.pushes import Error, GroupChat, GroupCreated, Success
from testclients import http
from testclients.client import ChatClient
from testclients.errors import CannotConnect, HttpFailed, RequestFailed
from tests.e2e.frames import Place, ack, chat, club, history, post, refusal
from tests.e2e.test_slow_reader import asleep, fill
from tests.e2e.town import PASSWORD, Resident, Town
from tests.support.backends import Backends
from tests.support.loop import run, until
from tests.support.node import Node, command
from tests.support.nodes_together import nodes_together
from tests.support.own_postgres import OwnPostgres
from tests.support.proxy import Proxy
from tests.support.stored import message_store, until_so

pytestmark = pytest.mark.slow
SECONDS: Final = 180.0
MENDED_SECONDS: Final = 60.0
UNDER_WAY: Final = 8
"""Posts of one sender that await their acks."""
LOAD: Final = 60
"""Acks of each sender before the kill, and again afterwards."""
PAGE: Final = 200


class Pair(NamedTuple):
    nodes: list[Node]
    postgres: OwnPostgres
    proxy: Proxy
    """Between both nodes and PostgreSQL."""
    backends: Backends


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with (
        Backends(migrated=False) as backends,
        OwnPostgres() as postgres,
        Proxy.before(postgres.url) as proxy,
    ):
        done = command(
            ["migrate"], backends.settings | {"database_url": postgres.url}, seconds=MENDED_SECONDS
        )
        assert done.returncode == 0, done.stderr
        settings = [{"database_url": proxy.url}] * 2
        with nodes_together(tmp_path_factory.mktemp("pair"), backends, settings) as nodes:
            yield Pair(nodes, postgres, proxy, backends)
            complaints = [line for node in nodes for line in node.complaints]
            assert [one for one in complaints if "senders must repeat" not in one] == []


class Sender:
    """Posts, and posts again what was not acked, until it has its ack."""

    def __init__(self, client: ChatClient, place: Place) -> None:
        self.client = client
        self.acked: dict[str, Success] = {}
        self.refused = 0
        self.is_over = False
        """It begins no new post."""
        self._place = place

    async def pour(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for lane in range(UNDER_WAY):
                tasks.create_task(self._pour(lane))

    async def _pour(self, lane: int) -> None:
        number = 0
        while not self.is_over:
            number += 1
            key = f"{self.client.user}.{lane}.{number}"
            while key not in self.acked:
                await self._post(key)

    async def _post(self, key: str) -> None:
        request = requests.GroupChat(
            group_id=self._place.id, content=f"content of {key}", client_msg_id=key
        )
        try:
            reply = await self.client.request(request, timeout=MENDED_SECONDS)
        except RequestFailed as refused:
            assert refused.code is ErrorCode.UNAVAILABLE, refused
            self.refused += 1
            # As a client waits that was refused; it is no faster than the others.
            await asyncio.sleep((refused.retry_after_ms or 100) / 1000)
        else:
            assert isinstance(reply, Success)
            self.acked[key] = reply


class Scene(NamedTuple):
    pair: Pair
    towns: list[Town]
    senders: list[Sender]
    """Two on each node."""
    reader: ChatClient
    """On the second node."""
    late: Resident
    """Not connected."""
    place: Place


@asynccontextmanager
async def scene(pair: Pair) -> AsyncIterator[Scene]:
    async with Town(pair.nodes[0]) as here, Town(pair.nodes[1]) as there:
        *everyone, late = await here.settle_all(*["sender"] * 4, "reader", "late")
        # An ack that is a duplicate's may come after the event itself, or before it.
        writers = [
            await (here, there)[number % 2].connect(who, positions=None)
            for number, who in enumerate(everyone[:-1])
        ]
        reader = await there.connect(everyone[-1])
        place = await club(writers[0], *writers[1:], reader)
        senders = [Sender(writer, place) for writer in writers]
        yield Scene(pair, [here, there], senders, reader, late, place)


def test_nothing_acked_is_lost_and_nothing_is_there_twice(pair: Pair) -> None:
    async def main() -> None:
        async with scene(pair) as s:
            before = (await history(s.reader, s.place)).head_seq
            pouring = [asyncio.create_task(sender.pour()) for sender in s.senders]
            await each_has(s.senders, LOAD)
            await asyncio.to_thread(pair.postgres.kill)
            await until(
                lambda: all(sender.refused for sender in s.senders), "everybody was refused"
            )
            await asyncio.to_thread(pair.postgres.start)
            await each_has(s.senders, max(len(one.acked) for one in s.senders) + LOAD)
            for sender in s.senders:
                sender.is_over = True
            await asyncio.gather(*pouring)
            acked = {key: ack for sender in s.senders for key, ack in sender.acked.items()}
            head = before + len(acked)
            assert sorted(one.seq or 0 for one in acked.values()) == [*range(before + 1, head + 1)]
            for client in (s.reader, s.senders[0].client):
                stored = await everything_stored(client, s.place, before)
                assert {key: (one.seq, one.id) for key, one in acked.items()} == stored
            # The town looks whether they came in order, each once and none left out.
            told = [
                (await s.reader.next_push(GroupChat, timeout=MENDED_SECONDS)).client_msg_id
                for _ in acked
            ]
            assert set(told) == acked.keys()
            assert [sender.client.close_code for sender in s.senders] == [None] * len(s.senders)
            await is_put(pair, s.place, head)

    run(main(), seconds=SECONDS)


async def each_has(senders: list[Sender], acks: int) -> None:
    await until(
        lambda: all(len(sender.acked) >= acks for sender in senders),
        f"everybody has {acks} acks",
        seconds=MENDED_SECONDS,
    )


async def everything_stored(
    client: ChatClient, place: Place, after: int
) -> dict[str, tuple[int, str]]:
    """Number and id of every post above a number, by its key; each is there once."""
    found: dict[str, tuple[int, str]] = {}
    has_more = True
    while has_more:
        page = await history(client, place, after=after, limit=PAGE)
        for message in page.messages:
            assert message.client_msg_id is not None and message.client_msg_id not in found
            found[message.client_msg_id] = message.seq, message.id
            after = message.seq
        has_more = page.has_more
    return found


async def is_put(pair: Pair, place: Place, head: int) -> None:
    async with message_store(pair.backends) as store:

        async def has_all() -> bool:
            events = await store.read(place.id, after=0, before=head + 1, limit=head)
            return [event.seq for event in events] == [*range(1, head + 1)]

        await until_so(has_all, "Cassandra has everything", seconds=MENDED_SECONDS)


@pytest.mark.parametrize("way", ["killed", "cut"])
def test_whoever_is_connected_reads_while_it_is_gone(way: str, pair: Pair) -> None:
    async def main() -> None:
        async with scene(pair) as s:
            writer, reader = s.senders[0].client, s.reader
            direct = chat(writer, reader)
            posted = [await post(writer, s.place, f"{number}") for number in range(5)]
            posted += [await post(writer, direct, f"{number}") for number in range(5)]
            await is_put(pair, s.place, posted[4].seq)
            await is_put(pair, direct, posted[-1].seq)
            if way == "killed":
                await asyncio.to_thread(pair.postgres.kill)
            else:
                pair.proxy.cut()
            try:
                await while_it_is_gone(s, direct)
            finally:
                await asyncio.to_thread(pair.postgres.start)
                pair.proxy.heal()
            await mends(s)

    run(main(), seconds=SECONDS)


async def while_it_is_gone(s: Scene, direct: Place) -> None:
    writer, reader = s.senders[0].client, s.reader
    # The one that finds out.
    asked = requests.GroupChat(group_id=s.place.id, content="lost", client_msg_id="key")
    assert await refusal(writer, asked) is ErrorCode.UNAVAILABLE
    for client in (writer, reader):
        for place in (s.place, direct):
            page = await history(client, place)
            assert [message.content for message in page.messages] == [f"{n}" for n in range(5)]
        to = reader.user if client is writer else writer.user
        named = await client.history_direct(to)
        assert [message.content for message in named.messages] == [f"{n}" for n in range(5)]
        await client.ping()
        for request in (
            requests.Ack(group_id=s.place.id, seq=1),
            requests.InitData(),
            requests.CreateGroup(name="new"),
            requests.OneToOneChat(to=to, content="lost"),
        ):
            assert await refusal(client, request) is ErrorCode.UNAVAILABLE, request
    with pytest.raises(HttpFailed, match="UNAVAILABLE"):
        await http.login(s.pair.nodes[0].http_url, writer.user, PASSWORD)
    with pytest.raises(CannotConnect) as cannot:
        await s.towns[0].connect(s.late)
    assert cannot.value.http_status == 503


def test_who_reads_slowly_is_sent_the_rest_while_it_is_gone(pair: Pair) -> None:
    async def main() -> None:
        async with Town(pair.nodes[0]) as here:
            slow, ann, ben = await here.settle_all("slow", "ann", "ben")
            writer, reader = await here.connect_all(ann, ben)
            async with asleep(pair.nodes[1], slow) as sleeper:
                made = await writer.create_group("club", [slow.name, ben.name])
                await reader.next_push(GroupCreated)
                place = Place(group_id=made.group_id)
                heads = await fill(writer, reader, [place])
                await is_put(pair, place, heads[place.id])
                pair.proxy.cut()
                try:
                    await sleeper.read_up_to(heads)
                finally:
                    pair.proxy.heal()
                assert sleeper.last == heads
                assert sleeper.resyncs[place.id] > 0, "it was read from the log"

    run(main(), seconds=SECONDS)


async def mends(s: Scene) -> None:
    writer, reader = s.senders[0].client, s.reader
    request = requests.GroupChat(group_id=s.place.id, content="lost", client_msg_id="key")

    async def is_acked() -> bool:
        try:
            return isinstance(await writer.request(request), Success)
        except RequestFailed as refused:
            assert refused.code is ErrorCode.UNAVAILABLE
            return False

    await until_so(is_acked, "sends are acked again", seconds=MENDED_SECONDS)
    frame = await reader.next_push(
        lambda frame: isinstance(frame, GroupChat) and frame.content == "lost",
        timeout=MENDED_SECONDS,
    )
    assert isinstance(frame, GroupChat)
    await ack(reader, s.place, frame.seq)
    login = await http.login(s.pair.nodes[1].http_url, reader.user, PASSWORD)
    assert login.user.username == reader.user
    messages = (await history(reader, s.place)).messages
    assert [message.content for message in messages].count("lost") == 1
    assert not [frame for frame in reader.take_all() if isinstance(frame, Error)]
