"""What takes half a minute, all at once: stalled readers, pings that are answered, typing that
ends."""

import asyncio
import json
from typing import Final

import pytest

from protocol import requests
from protocol.close import CloseCode
from protocol.model import PresenceStatus
from protocol.pushes import (
    DeliveryReceipt,
    GroupCreated,
    OneToOneChat,
    PresenceUpdate,
    Typing,
)
from tests.e2e import frames
from tests.e2e.frames import Place, chat, club, post, resume
from tests.e2e.test_presence import news
from tests.e2e.test_receipts import delivered
from tests.e2e.test_slow_reader import asleep, fill
from tests.e2e.town import Town, everything, take
from tests.edge import raw
from tests.support.loop import run
from tests.support.node import Node

SECONDS: Final = 60.0
PING_SECONDS: Final = 40.0
"""The server pings each connection every thirty."""
STALL_SECONDS: Final = 30.0
"""A stalled one is closed after twenty."""
RENEWAL_SECONDS: Final = 0.2
LASTS_SECONDS: Final = 15.0
"""Typing ends after six."""


async def stall(town: Town, node: Node) -> None:
    """A connection that takes nothing is closed with 4008, and is complete when it comes back."""
    slow, ann, ben = await town.settle_all("slow", "ann", "ben")
    writer, reader = await town.connect_all(ann, ben)
    async with asleep(node, slow) as sleeper:
        # Friends are told when the other is gone.
        await writer.send_direct(slow.name, "hello")
        await sleeper.send(requests.OneToOneChat(to=ann.name, content="hello"))
        assert (await news(writer, slow)).status is PresenceStatus.ONLINE
        made = await writer.create_group("club", [slow.name, ben.name])
        place = Place(group_id=made.group_id)
        await reader.next_push(GroupCreated)
        heads = await fill(writer, reader, [place])
        gone = await writer.next_push(PresenceUpdate, timeout=STALL_SECONDS)
        assert (gone.username, gone.status) == (slow.name, PresenceStatus.OFFLINE)
        # What it was sent before that has no gap.
        had = 0
        while (frame := await sleeper.client.frame()).opcode == raw.TEXT:
            event = json.loads(frame.payload)
            if event.get("groupId") == place.id:
                assert event["seq"] == had + 1
                had += 1
        assert frame.code == CloseCode.SLOW_CONSUMER
        await sleeper.client.send(raw.close(CloseCode.SLOW_CONSUMER))
        await sleeper.client.end()
    assert 0 < had < heads[place.id]
    back = await town.connect(slow, resumes=True)
    came, _ = await resume(back, {place.id: had})
    assert frames.numbers(came, place) == list(range(had + 1, heads[place.id] + 1))
    live = await post(writer, place, "live")
    await back.next_push(frames.names(live.id))


async def pong(town: Town) -> None:
    """What was sent before a ping that is answered counts as delivered; not so once there was an
    ACK."""
    ann, ben, cat = await town.settle_all("ann", "ben", "cat")
    writer = await town.connect(ann)
    # In this order: when the second is pinged, the first was.
    acking, silent = await town.connect_all(cat, ben)
    for client, who in ((silent, ben), (acking, cat)):
        for _ in range(3):
            await post(writer, chat(ann, who), "hello")
        await take(client, OneToOneChat, 3)
    await frames.ack(acking, chat(ann, cat), 1)
    assert await writer.next_push(DeliveryReceipt) == delivered(chat(ann, cat), cat, 1)
    receipt = await writer.next_push(DeliveryReceipt, timeout=PING_SECONDS)
    assert receipt == delivered(chat(ann, ben), ben, 3)
    assert (await acking.init_data()).chats[0].delivered_seq == 1


async def typing(town: Town) -> None:
    """A renewal is passed on after three seconds, and without one typing ends."""
    ann, ben = await town.settle_all("ann", "ben")
    writer, reader = await town.connect_all(ann, ben)
    group = await club(writer, reader)
    told: list[Typing] = []
    renewals = 0
    while len(told) < 2:
        await frames.typing(writer, group)
        renewals += 1
        await asyncio.sleep(RENEWAL_SECONDS)
        told += [frame for frame in await everything(reader) if isinstance(frame, Typing)]
    assert renewals > 2
    told.append(await reader.next_push(Typing, timeout=LASTS_SECONDS))
    assert [one.is_typing for one in told] == [True, True, False]
    # It ended by itself: that it ends is no news.
    await frames.typing(writer, group, False)
    await writer.ping()
    assert await everything(reader) == []


@pytest.mark.slow
def test_what_takes_half_a_minute(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            await asyncio.gather(stall(town, node), pong(town), typing(town))

    run(main(), seconds=SECONDS)
