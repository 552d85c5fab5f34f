"""The client that stays connected, against a real node that dies, drains and forgets nothing."""

import asyncio
import random as chance
from typing import Any, Final, TypeVar

import pytest

from protocol import requests
from protocol.close import CloseCode
from protocol.model import HistoryVisibility
from protocol.pushes import (
    DeliveryReceipt,
    GroupChatHistory,
    GroupCreated,
    OneToOneChat,
    OneToOneChatHistory,
    ReadReceipt,
    Success,
    Typing,
)
from testclients import http
from testclients.asking import Asking
from testclients.backoff import Backoff
from testclients.connection_state import ConnectionState, Phase
from testclients.credentials import Credentials
from testclients.errors import ConnectionLost
from testclients.events import Event, Where, where_of
from testclients.fold import Fold
from testclients.notices import Gone, LogRenewed, Rewound
from testclients.steady import SteadyClient
from tests.e2e.town import Resident, Town, chat_of, contents
from tests.e2e.town import take as take_pushes
from tests.support.loop import run
from tests.support.node import Node

LOAD: Final = 200
BATCH: Final = 50
K = TypeVar("K")


def steady(node: Node, who: Resident, **more: Any) -> SteadyClient:
    """A client that does not wait long, and does not give up while a node starts."""
    login = http.Login(who.token, who.refresh_token, 60, http.User(who.name))
    more.setdefault("backoff", Backoff(chance.random, base=0.05, cap=0.2, tries=None))
    return SteadyClient(node.chat_url, Credentials(node.http_url, login), **more)


async def take_events(client: SteadyClient, count: int) -> list[Event]:
    """The next events, as many as are named; what else comes is passed over."""
    events: list[Event] = []
    while len(events) < count:
        happening = await client.next()
        if isinstance(happening, Event):
            events.append(happening)
    return events


async def take(client: SteadyClient, kind: type[K]) -> K:
    """The next of a type; what else comes is passed over."""
    while not isinstance(happening := await client.next(), kind):
        pass
    return happening


def seqs(events: list[Event]) -> list[int]:
    return [event.seq for event in events]


class States:
    """The states of a connection, one after the other."""

    def __init__(self) -> None:
        self._states: asyncio.Queue[ConnectionState] = asyncio.Queue()

    def note(self, state: ConnectionState) -> None:
        self._states.put_nowait(state)

    async def reach(self, phase: Phase) -> ConnectionState:
        while (state := await self._states.get()).phase is not phase:
            pass
        return state


def test_a_node_that_is_killed_in_mid_load_loses_and_repeats_nothing(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            async with steady(node, ann) as writer, steady(node, ben) as reader:
                taking = asyncio.create_task(take_events(reader, LOAD))
                own = asyncio.create_task(take_events(writer, LOAD))
                entries = []
                for number in range(LOAD):
                    entries.append(writer.post_direct(ben.name, f"{number}"))
                    if number in (60, 140):
                        await entries[-20].settled()
                        await asyncio.to_thread(node.kill)
                        await asyncio.to_thread(node.start)
                        for client in (writer, reader):
                            client.try_now()
                for entry in entries:
                    await entry.settled()
                expected = [f"{number}" for number in range(LOAD)]
                assert contents(await taking) == contents(await own) == expected
                assert [entry.seq for entry in entries] == list(range(1, LOAD + 1))
                await reader.online()
                page = await reader.history_direct(ann.name, limit=200)
                assert [message.content for message in page.messages] == expected

    run(main(), seconds=60)


def test_a_node_that_drains_is_come_back_to(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            states = States()
            async with steady(node, ann, on_state=states.note) as reader:
                await states.reach(Phase.ONLINE)
                assert await asyncio.to_thread(node.stop) == 0
                state = await states.reach(Phase.WAITING)
                assert isinstance(state.cause, ConnectionLost)
                assert state.cause.code == CloseCode.DRAIN
                await asyncio.to_thread(node.start)
                writer = await town.connect(ben)
                await writer.send_direct(ann.name, "while away")
                reader.try_now()
                assert (await take(reader, OneToOneChat)).content == "while away"

    run(main())


def test_what_began_and_ended_meanwhile_is_told(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            ben_here, ann_elsewhere = await town.connect(ben), await town.connect(ann)
            old = (await ben_here.create_group("old", [ann.name], open=True)).group_id
            assert old is not None
            async with steady(node, ann) as before:
                assert (await take(before, GroupCreated)).group_id == old
                await ann_elsewhere.leave_group(old)
                await ann_elsewhere.join_group(old)
                await ben_here.send_group(old, "hello")
                assert seqs(await take_events(before, 3)) == [2, 3, 4]
                before.take_all()
            assert before.positions == {old: 4}
            await ann_elsewhere.leave_group(old)
            new = (await ben_here.create_group("new", [ann.name])).group_id
            assert new is not None
            await ben_here.send_group(new, "hi")
            await ben_here.send_direct(ann.name, "psst")
            kept: dict[str, Any] = {"positions": before.positions, "log_id": before.log_id}
            async with steady(node, ann, **kept) as after:
                await after.online()
                happenings = after.take_all()
                assert Gone(old) in happenings
                events = [happening for happening in happenings if isinstance(happening, Event)]
                direct = Where(chat_id=chat_of(ann, ben))
                assert seqs([event for event in events if where_of(event) == direct]) == [1]
                assert seqs([event for event in events if where_of(event) != direct]) == [1, 2]
                assert after.positions == {new: 2, direct.id: 1}

    run(main())


def test_what_was_not_dealt_with_comes_again(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ben)
            for number in range(1, 6):
                await writer.send_direct(ann.name, f"{number}")
            async with steady(node, ann) as first:
                await first.online()
                assert seqs(await take_events(first, 3)) == [1, 2, 3]
            receipt = await writer.next_push(DeliveryReceipt)
            assert (receipt.username, receipt.seq) == (ann.name, 2), "the third was being read"
            async with steady(node, ann) as second:
                assert seqs(await take_events(second, 3)) == [3, 4, 5]
                second.take_all()
                second.mark_read(Where(chat_id=chat_of(ann, ben)), 4)
                assert (await writer.next_push(ReadReceipt)).seq == 4

    run(main())


def test_a_slow_application_is_complete_when_it_wakes(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ben)
            async with steady(node, ann, max_happenings=2) as sleeper:
                await sleeper.online()
                before = node.metric("chatd_resyncs_total")
                posted = 0
                # More than the client, the sockets and the server's outbox hold together.
                while node.metric("chatd_resyncs_total") == before:
                    assert posted < 3_000, "the server did not tell of a queue that was too long"
                    for _ in range(BATCH):
                        content = f"{posted} {'x' * 16_000}"
                        await writer.send(requests.OneToOneChat(to=ann.name, content=content))
                        posted += 1
                    await take_pushes(writer, Success, BATCH)
                events = await take_events(sleeper, posted)
                assert seqs(events) == list(range(1, posted + 1))
                await writer.send_direct(ann.name, "live")
                assert seqs(await take_events(sleeper, 1)) == [posted + 1]

    run(main(), seconds=60)


def test_a_position_that_the_log_does_not_reach_begins_anew(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            writer = await town.connect(ben)
            await writer.send_direct(ann.name, "one")
            await writer.send_direct(ann.name, "two")
            chat_id = chat_of(ann, ben)
            kept: dict[str, Any] = {"positions": {chat_id: 99}, "log_id": writer.info.log_id}
            async with steady(node, ann, **kept) as reader:
                await take(reader, Rewound)
                assert seqs(await take_events(reader, 2)) == [1, 2]
                await writer.send_direct(ann.name, "three")
                assert seqs(await take_events(reader, 1)) == [3]
            kept["log_id"] = "that of another server"
            async with steady(node, ann, **kept) as reader:
                await take(reader, LogRenewed)
                await writer.send_direct(ann.name, "four")
                assert seqs(await take_events(reader, 2)) == [3, 4], "the third was not acked"

    run(main())


@pytest.mark.slow
def test_an_expired_token_is_renewed(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            renewed: asyncio.Queue[http.Login] = asyncio.Queue()
            # Times in a token are whole seconds: with one alone it might be over at once.
            token = node.token(ann.name, seconds=2)
            login = http.Login(token, ann.refresh_token, 60, http.User(ann.name))
            credentials = Credentials(node.http_url, login, renewed.put_nowait)
            async with SteadyClient(node.chat_url, credentials, random=lambda: 0.0) as reader:
                await reader.online()
                assert (await renewed.get()).user.username == ann.name
                await reader.online()
                await (await town.connect(ben)).send_direct(ann.name, "still there?")
                assert seqs(await take_events(reader, 1)) == [1]

    run(main())


def test_a_device_that_is_logged_out_stays_away(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            (ann,) = await town.settle_all("ann")
            states = States()
            async with steady(node, ann, on_state=states.note) as reader:
                await states.reach(Phase.ONLINE)
                await http.logout(node.http_url, ann.token)
                state = await states.reach(Phase.FAILED)
                assert isinstance(state.cause, ConnectionLost)
                assert state.cause.code == CloseCode.TOKEN_REVOKED
                with pytest.raises(ConnectionLost):
                    await take_events(reader, 1)

    run(main())


def test_others_hear_of_typing_until_it_stops(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            other = await town.connect(ben)
            await other.send_direct(ann.name, "hello")
            where = Where(chat_id=chat_of(ann, ben))
            async with steady(node, ann) as typist:
                await typist.online()
                typist.typing(where, True)
                assert (await other.next_push(Typing)).is_typing
                typist.typing(where, False)
                assert not (await other.next_push(Typing)).is_typing
                await other.typing(where, True)
                assert (await take(typist, Typing)).username == ben.name

    run(main())


async def fetch(client: Asking, where: Where) -> list[OneToOneChatHistory | GroupChatHistory]:
    """All that there is of a group, newest page first, in small pages."""
    pages: list[OneToOneChatHistory | GroupChatHistory] = []
    before: int | None = None
    while True:
        page = await client.history_group(where.id, before=before, limit=3)
        pages.append(page)
        if not page.has_more:
            return pages
        before = page.messages[0].seq


def test_state_plus_events_equals_fetched_state(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.settle_all("ann", "ben", "cat")
            ben_here = await town.connect(ben)
            made = await ben_here.create_group(
                "club", [ann.name], open=True, history=HistoryVisibility.ALL
            )
            group = made.group_id
            assert group is not None
            where = Where(group_id=group)
            async with steady(node, ann) as watcher, steady(node, cat) as late:
                await watcher.online()
                await late.online()
                ids: list[str] = []
                for number in range(8):
                    ack = await ben_here.send_group(group, f"{number}", None)
                    assert ack.id is not None
                    ids.append(ack.id)
                own = watcher.post_group(group, "mine")
                await own.settled()
                assert own.id is not None
                await late.join_group(group)
                early = Fold.of_pages(await fetch(watcher, where))
                await ben_here.edit(where, ids[0], "changed")
                await ben_here.edit(where, own.id, "changed by an admin", version=1)
                await watcher.react(where, ids[1], "👍")
                await late.react(where, own.id, "🎉")
                await watcher.react(where, own.id, "🎉")
                await late.react(where, own.id, "🎉", remove=True)
                await ben_here.edit(where, ids[2], "soon gone")
                await ben_here.delete(where, ids[2])
                await watcher.delete(where, own.id)
                await late.leave_group(group)
                await ben_here.send_group(group, "the end")
                whole = Fold()
                while whole.head < early.head or "the end" not in contents_of(whole):
                    event = await watcher.next()
                    if isinstance(event, Event):
                        whole.apply(event)
                        early.apply(event)
                fetched = Fold.of_pages(await fetch(watcher, where))
                assert fetched.head == whole.head == early.head
                assert early.messages == fetched.messages
                assert whole.messages == fetched.messages

    run(main())


def contents_of(state: Fold) -> list[str]:
    return [message.content for message in state.messages.values()]


def test_the_state_of_who_edits_equals_fetched_state_too(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            where = Where(chat_id=chat_of(ann, ben))
            async with steady(node, ann) as author:
                entry = author.post_direct(ben.name, "frist")
                await entry.settled()
                assert entry.id is not None
                ack = await author.edit(where, entry.id, "first")
                page = await author.history_direct(ben.name)
                assert ack.sent_at == page.messages[0].edited_at
                state = Fold()
                state.apply_all(await take_events(author, 2))
                assert state.messages == Fold.of_pages([page]).messages

    run(main())
