"""Blocks: between two users of whom one has blocked the other nothing new is said or seen."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from protocol import requests
from protocol.errors import ErrorCode
from protocol.model import PresenceStatus
from protocol.pushes import (
    MessageDeleted,
    OneToOneChat,
    OneToOneChatHistory,
    PresenceUpdate,
    Receipt,
)
from testclients.client import ChatClient
from tests.e2e import frames
from tests.e2e.frames import Place, Posted, chat, club, history, post, refusal
from tests.e2e.rest import block, done, refused, rest
from tests.e2e.test_presence import news
from tests.e2e.town import Resident, Town, everything
from tests.support.loop import run
from tests.support.node import Node


class Scene(NamedTuple):
    """Ann and Ben are friends: each has written to the other. Nobody has blocked anybody yet."""

    town: Town
    ann: Resident
    ben: Resident
    ann_here: ChatClient
    ben_here: ChatClient
    place: Place
    anns: Posted
    bens: Posted

    async def settle(self) -> None:
        """Forget what has come so far."""
        for client in (self.ann_here, self.ben_here):
            await everything(client)


@asynccontextmanager
async def scene(node: Node) -> AsyncIterator[Scene]:
    async with Town(node) as town:
        ann, ben = await town.settle_all("ann", "ben")
        ann_here, ben_here = await town.connect_all(ann, ben)
        place = chat(ann, ben)
        anns, bens = await post(ann_here, place, "hi"), await post(ben_here, place, "hello")
        for client, friend in ((ann_here, ben), (ben_here, ann)):
            assert (await news(client, friend)).status is PresenceStatus.ONLINE
        yield Scene(town, ann, ben, ann_here, ben_here, place, anns, bens)


def forbidden(
    client: ChatClient, peer: str, place: Place, own: Posted
) -> Iterator[requests.Request]:
    """What is BLOCKED; `own` is a message of the client's user."""
    yield requests.OneToOneChat(to=peer, content="listen!")
    yield requests.OneToOneChat(to=peer, content="listen!", client_msg_id="new")
    yield requests.NewOneToOneChat(to=peer)
    yield requests.EditMessage(chat_id=place.chat_id, id=own.id, content="listen!")
    yield requests.React(chat_id=place.chat_id, id=own.id, emoji="👍")
    yield requests.Typing(chat_id=place.chat_id, is_typing=True)


def test_neither_can_write_to_the_other_until_it_is_taken_back(node: Node) -> None:
    async def main() -> None:
        async with scene(node) as s:
            await block(s.town, s.ann, s.ben)
            await s.settle()
            pairs = ((s.ann_here, s.anns), (s.ben_here, s.bens))
            for client, own in pairs:
                (peer,) = {s.ann.name, s.ben.name} - {client.user}
                for request in forbidden(client, peer, s.place, own):
                    assert await refusal(client, request) is ErrorCode.BLOCKED, request
            for client, _ in pairs:
                assert await everything(client) == []
                assert (await history(client, s.place)).head_seq == 2
            await done(s.town, "DELETE", f"/api/blocks/{s.ben.name}", s.ann)
            for client, own in pairs:
                (peer,) = {s.ann.name, s.ben.name} - {client.user}
                for request in forbidden(client, peer, s.place, own):
                    if isinstance(request, requests.Typing):
                        await client.send(request)
                    else:
                        await frames.ask(client, request)
            assert (await history(s.ann_here, s.place)).head_seq == 10

    run(main())


def test_reading_deleting_and_cursors_are_allowed_without_receipts(node: Node) -> None:
    async def main() -> None:
        async with scene(node) as s:
            tablet = await s.town.connect(s.ben)
            await block(s.town, s.ann, s.ben)
            for client in (s.ann_here, s.ben_here, tablet):
                await everything(client)
            for client in (s.ann_here, s.ben_here):
                assert len((await history(client, s.place)).messages) == 2
                await frames.ack(client, s.place, 1)
                await frames.mark_read(client, s.place, 2)
            assert [type(frame).__name__ for frame in await everything(tablet)] == [
                "DeliveryReceipt",
                "ReadReceipt",
            ], "one's own connections are told"
            await frames.delete(s.ben_here, s.place, s.bens.id)
            # The deletion is told, and no receipt was before it.
            assert isinstance(await s.ann_here.next_push(), MessageDeleted)
            await frames.delete(s.ann_here, s.place, s.anns.id)
            assert isinstance(await s.ben_here.next_push(), MessageDeleted)
            (chat_,) = (await s.ben_here.init_data()).chats
            assert (chat_.unread, chat_.read_seq) == (0, 2)

    run(main())


def test_a_clean_close_sends_no_receipt_either(node: Node) -> None:
    async def main() -> None:
        async with scene(node) as s:
            await post(s.ann_here, s.place, "the last word")
            await s.ben_here.next_push(OneToOneChat)
            await block(s.town, s.ann, s.ben)
            await s.settle()
            await s.ben_here.close()
            back = await s.town.connect(s.ben)
            assert (await back.init_data()).chats[0].delivered_seq == 3
            await done(s.town, "DELETE", f"/api/blocks/{s.ben.name}", s.ann)
            await post(back, s.place, "peace?")
            push = await s.ann_here.next_push(lambda frame: not isinstance(frame, PresenceUpdate))
            assert isinstance(push, OneToOneChat), "and no receipt before it"

    run(main())


@pytest.mark.parametrize("who", ["the one who blocks", "the one who is blocked"])
def test_presence_is_unknown_to_each_other(who: str, node: Node) -> None:
    async def main() -> None:
        async with scene(node) as s:
            await club(s.ann_here, s.ben_here)  # nor by a group that they share
            watcher, other, other_here = (
                (s.ann_here, s.ben, s.ben_here)
                if who == "the one who blocks"
                else (s.ben_here, s.ann, s.ann_here)
            )
            watcher_too = await s.town.connect(
                s.ann if watcher is s.ann_here else s.ben, presence=True
            )
            assert (await news(watcher_too, other)).status is PresenceStatus.ONLINE
            await block(s.town, s.ann, s.ben)
            for client in (watcher, watcher_too):
                update = await news(client, other)
                assert (update.status, update.last_seen) == (PresenceStatus.UNKNOWN, None)
                await client.subscribe_presence([other.name])
                assert (await news(client, other)).status is PresenceStatus.UNKNOWN
            page = await history(watcher, s.place)
            assert isinstance(page, OneToOneChatHistory)
            assert (page.is_online, page.last_seen) == (False, None)
            (chat_,) = (await watcher.init_data()).chats
            assert (chat_.is_online, chat_.last_seen) == (False, None)
            # Comings and goings are not told, to new connections neither.
            await other_here.close()
            back = await s.town.connect(other)
            fresh = await s.town.connect(s.ann if watcher is s.ann_here else s.ben)
            for client in (watcher, watcher_too, fresh):
                await client.ping()
                assert not [f for f in client.take_all() if isinstance(f, PresenceUpdate)]
            await done(s.town, "DELETE", f"/api/blocks/{s.ben.name}", s.ann)
            for client in (watcher, watcher_too, fresh):
                assert (await news(client, other)).status is PresenceStatus.ONLINE
            await back.close()
            assert (await news(fresh, other)).status is PresenceStatus.OFFLINE

    run(main())


def test_a_group_is_not_theirs_alone(node: Node) -> None:
    async def main() -> None:
        async with scene(node) as s:
            group = await club(s.ann_here, s.ben_here)
            await block(s.town, s.ann, s.ben)
            await s.settle()
            posted = await post(s.ben_here, group, "to all")
            await frames.react(s.ann_here, group, posted.id, "👍")
            await frames.mark_read(s.ann_here, group, posted.seq)
            assert await s.ben_here.next_push(Receipt)
            assert (await history(s.ann_here, group)).head_seq == 3
            # But who has blocked somebody is not put into that one's groups.
            made = await s.ben_here.create_group("another")
            path = f"/api/conversations/{made.group_id}/members"
            assert await refused(s.town, "POST", path, s.ben, {"username": s.ann.name}) == "BLOCKED"
            request = requests.CreateGroup(name="trap", members=[s.ann.name])
            assert await refusal(s.ben_here, request) is ErrorCode.BLOCKED

    run(main())


def test_before_a_word_was_said(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            await block(town, ann, ben)
            for client, peer in zip(await town.connect_all(ann, ben), (ben, ann), strict=True):
                for request in (
                    requests.OneToOneChat(to=peer.name, content="hello"),
                    requests.NewOneToOneChat(to=peer.name),
                ):
                    assert await refusal(client, request) is ErrorCode.BLOCKED
                assert (await client.init_data()).chats == []

    run(main())


def test_who_is_blocked_is_listed_to_nobody_else(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben, cat = await town.settle_all("ann", "ben", "cat")
            for who, status in ((cat, 201), (ben, 201), (cat, 200)):
                reply = await rest(town, "POST", "/api/blocks", ann, {"username": who.name})
                assert (reply.status, reply.json) == (status, {"username": who.name})
            names = [{"username": name} for name in sorted((ben.name, cat.name))]
            assert await done(town, "GET", "/api/blocks", ann) == {"blocks": names}
            assert await done(town, "GET", "/api/blocks", ben) == {"blocks": []}
            # Both may block each other, and one's unblocking does not lift the other's.
            await block(town, ben, ann)
            for _ in range(2):
                reply = await rest(town, "DELETE", f"/api/blocks/{ben.name}", ann)
                assert (reply.status, reply.body) == (204, b"")
            here = await town.connect(ann)
            request = requests.OneToOneChat(to=ben.name, content="hello")
            assert await refusal(here, request) is ErrorCode.BLOCKED
            for body, code in (
                ({"username": ann.name}, "INVALID_FIELD"),
                ({"username": "nobody.here"}, "NO_SUCH_USER"),
                ({"username": "No Name"}, "NO_SUCH_USER"),
                ({"username": 7}, "INVALID_FIELD"),
                ({}, "INVALID_FIELD"),
            ):
                assert await refused(town, "POST", "/api/blocks", ann, body) == code

    run(main())


def test_a_block_outlives_a_restart(node: Node) -> None:
    async def before() -> tuple[Resident, Resident]:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            await block(town, ann, ben)
            return ann, ben

    async def after(ann: Resident, ben: Resident) -> None:
        async with Town(node) as town:
            request = requests.OneToOneChat(to=ann.name, content="hello")
            assert await refusal(await town.connect(ben), request) is ErrorCode.BLOCKED

    ann, ben = run(before())
    node.kill()
    node.start()
    run(after(ann, ben))
