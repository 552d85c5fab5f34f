"""One connection of a client that stays connected: how it waits for its application."""

import asyncio

from protocol.model import PresenceStatus
from protocol.pushes import PresenceUpdate
from testclients.cursors import Cursors
from testclients.errors import ConnectionLost
from testclients.inbox import Inbox
from testclients.kept import Kept
from testclients.link import Link
from testclients.order import Order
from testclients.outbox import Outbox
from testclients.typing_notices import TypingNotices
from tests.support.running import on_a_loop, turns
from tests.unit.testclients.hand_timer import HandTimer

FRAME = PresenceUpdate(username="bob", status=PresenceStatus.ONLINE, last_seen=None)


def kept(max_happenings: int) -> Kept:
    timer = HandTimer()
    return Kept(
        timer=timer,
        order=Order(),
        inbox=Inbox(lambda _: None, max_happenings=max_happenings),
        outbox=Outbox(timer, lambda: 1.0),
        cursors=Cursors(timer),
        typing=TypingNotices(timer, lambda _: None),
        taken={},
        log_id=None,
        is_new=True,
    )


@on_a_loop
async def test_it_reads_no_more_than_the_application_has_room_for() -> None:
    held = kept(max_happenings=2)
    link = Link(held)
    await link.receive(FRAME, None)
    receiving = asyncio.create_task(link.receive(FRAME, None))
    await turns()
    assert not receiving.done()
    await held.inbox.next()
    await receiving


@on_a_loop
async def test_the_end_of_a_connection_ends_the_wait_and_loses_nothing() -> None:
    held = kept(max_happenings=1)
    link = Link(held)
    receiving = asyncio.create_task(link.receive(FRAME, None))
    await turns()
    assert not receiving.done()
    link.end(ConnectionLost(1006, ""))
    await receiving
    assert held.inbox.take_all() == [FRAME]
